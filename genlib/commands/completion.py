"""`genlib completion`: the script by which a shell completes the command."""

from genlib.errors import InputError


def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from genlib.cli import build_parser

    try:
        import shtab
    except ModuleNotFoundError as error:
        raise InputError("completion: got no package shtab, expected what `make setup` installs") from error
    print(shtab.complete(build_parser(), shell))
