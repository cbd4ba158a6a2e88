"""How a command refuses a wrong input: one line, code 2, nothing printed."""

from genlib.cli import main


def refusal(capsys, arguments):
    """The line."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("genlib: ") and printed.err.count("\n") == 1 and not printed.out
    return printed.err
