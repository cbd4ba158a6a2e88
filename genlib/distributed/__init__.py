"""Ray, and nothing else that imports it: one model on many workers, many trials of one model."""
