"""`python -m genlib` is the `genlib` command."""

import sys

from genlib.cli import main

sys.exit(main())
