"""`genlib completion`: the script by which a shell completes the command."""


def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    import shtab

    from genlib.cli import build_parser

    print(shtab.complete(build_parser(), shell))
