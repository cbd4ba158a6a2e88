"""`genlib completion`: what a shell needs to complete the words of the command."""

from __future__ import annotations

from genlib.errors import InputError


def completion(shell: str) -> None:
    """Print what completes these words in a shell."""
    from genlib.cli import build_parser

    try:
        import shtab
    except ModuleNotFoundError as error:
        raise InputError("completion: got no package shtab, expected what `make setup` installs") from error
    print(shtab.complete(build_parser(), shell))
