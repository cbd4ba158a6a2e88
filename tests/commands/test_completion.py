"""`genlib completion`: a script that knows every command."""

import subprocess

import pytest
from refusals import refusal

from genlib.cli import COMMANDS, main


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS) and "--truncation" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_an_unknown_shell_is_named(capsys):
    assert "invalid choice: 'fish'" in refusal(capsys, ["completion", "fish"])
