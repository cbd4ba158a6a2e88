"""The `genlib` command: its tree of words, its help, and how errors end."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from evaluated_models import models as models

from genlib.cli import ARGUMENTS, COMMANDS, build_parser, main
from genlib.commands import diff, doctor


def test_debug_shows_where_an_error_came_from(models, monkeypatch, capsys):
    monkeypatch.chdir(models)
    assert main(["--debug", "sample", "nowhere"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setattr(doctor, "all_checks", lambda: [lambda: (1 / 0 and []) or {}["x"]])
    monkeypatch.setattr(doctor, "all_checks", lambda: {}["x"])
    assert main(["doctor"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "KeyError" in said


def test_every_command_is_in_the_tree_and_its_line_is_that_of_its_function(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert set(ARGUMENTS) == set(COMMANDS)
    rooms = {path.stem for path in Path(diff.__file__).parent.glob("*.py")} - {"__init__"}
    assert rooms == set(COMMANDS)
    for name, (_, says) in COMMANDS.items():
        assert f"  {name} " in shown and says in shown
        body = getattr(import_module(f"genlib.commands.{name}"), name)
        assert " ".join(body.__doc__.split()) == says


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys; from genlib.cli import build_parser; build_parser().format_help();"
        "print({'torch', 'shtab', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()" and build_parser().prog == "genlib"


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
