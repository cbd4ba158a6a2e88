"""Errors that the user can fix, what is printed of them and of addresses, and the exit codes of commands."""

import difflib
import errno
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

DEBUG_ENV = "GENLIB_DEBUG"  # set: errors are printed with their traceback
_DISK_ERRORS = {  # and what is expected instead
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "a disk with room"),
    **dict.fromkeys((errno.EFBIG, errno.EMFILE), "a higher limit (ulimit -f, ulimit -n)"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "a place that this user may read and write"),
}
# user:password@ of an address, also where the password has a slash, and the values of a query that give access.
_USERINFO = re.compile(
    r"""(?:(?<=://)[^\s/:@\["<>]*:(?!\d*(?:[/?#'"\s]|$))[^\s"<>]*|(?<=://)[^\s/"<>]*|(?<![\w%./+-])[\w.%+-]++:[^\s/@"<>]++)@"""
)
_QUERY = re.compile(
    r"""((?:[?&;#]|\\u0026)[\w.%-]*(?:token|sig|pass|pwd|secret|key|cred|auth|jwt|code|access)[\w.%-]*=)[^\s&;"'<>\\]+""",
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class InputError(ValueError):
    """A wrong key, value, file or address; one line: where (path of the key or file), what was found, what is expected.
    Entry points print it without a traceback and exit with code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(mask_secrets(escape_unprintable(" ".join(message.splitlines()))))


class InputErrors(InputError):
    """Several `errors`, all to be mended: each is printed in a line of its own; as text, the first."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        super().__init__(f"{errors[0]} (and {len(errors) - 1} more)")
        self.errors = errors


class Refusals:
    """Collects InputErrors, so that all of them are raised at once."""

    def __init__(self, errors: Iterable[InputError] = ()) -> None:
        self.errors = [*errors]

    @contextmanager
    def collect(self) -> Iterator[None]:
        try:
            yield
        except InputErrors as several:
            self.errors += several.errors
        except InputError as error:
            self.errors.append(error)

    def raise_all(self) -> None:
        if self.errors:
            raise self.all_at_once()

    def all_at_once(self) -> InputError:
        """One error for all that were collected, of which there is at least one."""
        return self.errors[0] if len(self.errors) == 1 else InputErrors(self.errors)


class MissingDataError(InputError):
    """Nothing is where the raw data are expected: a folder that is not there or empty, a store out of reach."""


class WorkersLost(RuntimeError):
    """Work ended half-way because workers died: the same command resumes it."""


def mask_secrets(text: str) -> str:
    """The text with `***` for users, passwords, tokens and signatures in addresses: for all that is shown or stored."""
    return _QUERY.sub(r"\1***", _USERINFO.sub("***@", text))


def one_line(error: Exception | str, limit: int = 200) -> str:
    """The message of an error, or its type without one, on one line of at most `limit` characters."""
    return mask_secrets(" ".join(str(error).split()))[:limit] or type(error).__name__


def escape_unprintable(name: object) -> str:
    """A name as text: control characters, and bytes that are no UTF-8, are shown as in `gar\\xe7on`."""
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", str(name))


def unknown_name(where: str, got: object, expected: Collection[str]) -> InputError:
    """The error for a name that is not among the expected ones, with the nearest one where it looks like a typo."""
    near = difflib.get_close_matches(str(got), expected, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return InputError(f"{where}: got {got!r}{hint}, expected {', '.join(sorted(expected)) or 'nothing'}")


def run_cli(body: Callable[[], int | None], interrupt_message: str = "interrupted", debug: bool = False) -> int:
    """Run `body`; its exit code, or 2 for mistakes of the user or the system, 1 for training that diverged or lost its
    workers, 130 for Ctrl-C, 3 for what is not expected, each with a line. `debug`: print the traceback as well."""
    with redirect_stdout(_Output(sys.stdout)), redirect_stderr(_Output(sys.stderr)):
        try:
            code = body() or 0
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:  # whatever a library does, one line says what to do about it
            if debug or os.environ.get(DEBUG_ENV):
                traceback.print_exc()
            for each in error.errors if isinstance(error, InputErrors) else [error]:
                message, code = (interrupt_message, 130) if isinstance(each, KeyboardInterrupt) else _explain(each)
                print(f"genlib: {' '.join(message.split())}", file=sys.stderr)
        return code


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, InputError):
        return str(error), 2
    if line := _disk_error(error):
        return line, 2
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(("genlib", "pipelines")):
        expected = "genlib with its extras: pip install 'genlib[images,tracking,cluster]', or make setup in a checkout"
        return f"got no package {error.name}, expected {expected}", 2
    if isinstance(error, ArithmeticError):
        return f"{error}; lower the learning rates or raise the penalties", 1
    if isinstance(error, WorkersLost):
        return f"{error}; the same command goes on from the last checkpoint", 1
    code = 2 if isinstance(error, OSError) else 3
    return f"{type(error).__name__}: {one_line(error, 500)} ({DEBUG_ENV}=1 shows where)", code


def _disk_error(error: BaseException | None) -> str:
    """The line for an error of the disk, which libraries report by exceptions of their own; "" for others."""
    while error:
        named = re.search(r"(?:os error |\[Errno )(\d+)", str(error))
        number = getattr(error, "errno", None) or (int(named[1]) if named else None)
        if number in _DISK_ERRORS:
            where = getattr(error, "filename", None) or Path.cwd()
            return f"{where}: got {os.strerror(number).lower()}, expected {_DISK_ERRORS[number]}"
        error = error.__cause__
    return ""


class _Output:
    """A stream that shows no secrets, escapes what its encoding lacks, and drops the rest once its reader is gone
    (`| head`)."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream or io.StringIO()  # None where the caller has closed it

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        shown = mask_secrets(text).encode(encoding, "backslashreplace").decode(encoding)
        try:
            self.stream.write(shown) if text else self.stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
            if error.errno != errno.EPIPE:
                raise
        return len(text)

    def flush(self) -> None:
        self.write("")
