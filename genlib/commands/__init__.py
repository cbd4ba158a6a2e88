"""The commands of `genlib`, one per file; their arguments are in cli.py."""
