"""The one exception that is the user's to mend, and the sentence for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class InputError(ValueError):
    """A wrong key, value, file or address.

    The message is one line: where (path of the key or file), what was found, what is legal. Entry points print it and
    exit with code 2; it never carries a traceback to the user.
    """


def unknown(where: str, found: object, legal: Collection[str]) -> InputError:
    """The error for a name that is not among the legal ones, with the nearest legal one when it looks like a slip."""
    near = difflib.get_close_matches(str(found), legal, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return InputError(f"{where}: found {found!r}{hint}, legal: {', '.join(sorted(legal)) or 'nothing'}")
