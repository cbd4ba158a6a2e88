"""The `genlib` command by itself: an unknown command, and its help, which imports nothing heavy."""

import subprocess
import sys

from genlib.cli import main


def test_an_unknown_command_is_named(capsys):
    assert main(["exlpore"]) == 2
    assert "exlpore" in capsys.readouterr().err


def test_without_a_command_it_helps_and_imports_nothing_heavy():
    code = "import sys; from genlib.cli import main; main([]); print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "explore" in done.stdout
    assert done.stdout.strip().endswith("set()")
    module = subprocess.run([sys.executable, "-m", "genlib"], capture_output=True, text=True, check=True)
    assert module.stdout.startswith("usage: genlib")
