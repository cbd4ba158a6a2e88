"""Errors that the user can fix, and the exit codes of commands."""

import difflib
import errno
import sys
from collections.abc import Callable, Collection
from pathlib import Path


class InputError(ValueError):
    """A wrong key, value, file or address.

    The message is one line: where (path of the key or file), what was found, what is expected. Entry points print it
    without a traceback and exit with code 2.
    """


class WorkersLost(RuntimeError):
    """Work ended half-way because workers died: the same command resumes it."""


def one_line(error: Exception, limit: int = 200) -> str:
    """The message of an error, or its type without one, on one line of at most `limit` characters."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def unknown_name(where: str, got: object, expected: Collection[str]) -> InputError:
    """The error for a name that is not among the expected ones, with the nearest one where it looks like a typo."""
    near = difflib.get_close_matches(str(got), expected, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return InputError(f"{where}: got {got!r}{hint}, expected {', '.join(sorted(expected)) or 'nothing'}")


def run_cli(body: Callable[[], None], interrupt_message: str = "interrupted") -> int:
    """Run `body`; its exit code: 2 for the user's mistakes and a full disk, 1 for training that diverged or lost its
    workers, 130 for Ctrl-C, each with one line."""
    try:
        body()
    except InputError as error:
        return _print_error(str(error), 2)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("genlib", "pipelines")):
            raise
        expected = "genlib with its extras: pip install 'genlib[images,tracking,cluster]', or make setup in a checkout"
        return _print_error(f"got no package {error.name}, expected {expected}", 2)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _print_error(f"{error.filename or Path.cwd()}: no space left on the disk, expected a disk with room", 2)
    except ArithmeticError as error:
        return _print_error(f"{error}; lower the learning rates or raise the penalties", 1)
    except WorkersLost as error:
        return _print_error(f"{error}; the same command goes on from the last checkpoint", 1)
    except KeyboardInterrupt:
        return _print_error(interrupt_message, 130)
    return 0


def _print_error(message: str, code: int) -> int:
    print(f"genlib: {' '.join(message.splitlines())}", file=sys.stderr)
    return code
