"""One thin file per stage: read params and files, call genlib, write files."""
