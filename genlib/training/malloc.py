"""Memory that training frees stays with the process, since the next step asks for as much again.

The C library gives large blocks back to the system as they are freed, and every page of the next step's activations is
then faulted in anew: thousands of pages a step, up to a sixth of its time on a CPU.
"""

import ctypes
import sys


def retain_freed_memory() -> None:
    """Ask the C library to keep what is freed, for as long as this process lives; nothing where it is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the highest threshold that glibc takes, in bytes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: never
