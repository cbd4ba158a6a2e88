"""Keep freed memory in the process: page faults for the next step's activations take up to a sixth of a CPU step."""

import ctypes
import sys


def retain_freed_memory() -> None:
    """Ask the C library to keep what is freed, for as long as this process lives; nothing where it is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the highest threshold that glibc takes, in bytes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: never
