"""The bodies of `genlib`'s commands, a file each; cli.py holds their arguments."""
