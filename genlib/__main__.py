"""`python -m genlib` is the `genlib` command."""

from genlib.cli import main

raise SystemExit(main())
