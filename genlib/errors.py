"""The one exception that is the user's to mend, the sentence for a name that does not exist, and how a command ends."""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Callable, Collection
from pathlib import Path


class InputError(ValueError):
    """A wrong key, value, file or address.

    The message is one line: where (path of the key or file), what was found, what is legal. Entry points print it and
    exit with code 2; it never carries a traceback to the user.
    """


class Lost(RuntimeError):
    """Work that ended half-way through no fault of its input: the same command goes on with it."""


def unknown(where: str, found: object, legal: Collection[str]) -> InputError:
    """The error for a name that is not among the legal ones, with the nearest legal one when it looks like a slip."""
    near = difflib.get_close_matches(str(found), legal, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return InputError(f"{where}: found {found!r}{hint}, legal: {', '.join(sorted(legal)) or 'nothing'}")


def guarded(body: Callable[[], None], interrupted: str = "interrupted") -> int:
    """Run `body`; its exit code: 2 for the user's mistakes and a full disk, 1 for training that diverged or lost its
    workers, 130 for Ctrl-C, each with one line."""
    try:
        body()
    except InputError as error:
        return _complain(str(error), 2)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _complain(f"{error.filename or Path.cwd()}: no space left on the disk, legal: a disk with room", 2)
    except ArithmeticError as error:
        return _complain(f"{error}; lower the learning rates or raise the penalties", 1)
    except Lost as error:
        return _complain(f"{error}; the same command goes on from the last checkpoint", 1)
    except KeyboardInterrupt:
        return _complain(interrupted, 130)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"genlib: {' '.join(message.splitlines())}", file=sys.stderr)
    return code
