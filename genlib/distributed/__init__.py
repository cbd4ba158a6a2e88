"""Training and feature extraction on Ray workers."""
