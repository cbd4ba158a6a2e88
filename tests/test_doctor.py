"""`genlib doctor`: what is broken is said, with how to mend it, and ends with 1."""

import json
import socket
import subprocess
from importlib.metadata import PackageNotFoundError

import pytest

from genlib import doctor
from genlib.cli import GROUPS, main


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def examined(capsys):
    try:
        code = main(["doctor", "--json"])
    except SystemExit as end:
        code = end.code
    return code, {found["what"]: found for found in json.loads(capsys.readouterr().out)}


def test_this_machine_which_runs_the_tests_is_fit(capsys):
    code, found = examined(capsys)
    assert code == 0
    assert {"Python", *doctor.PARTS, "GPU", "disk", "tracking", "cluster"} < found.keys()
    assert not [each for each in found.values() if each["state"] == "broken"]


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "RAY_ADDRESS"])
def test_an_address_where_nothing_answers_is_broken_and_one_where_something_does_is_not(variable, monkeypatch, capsys):
    what = {"MLFLOW_TRACKING_URI": "tracking", "RAY_ADDRESS": "cluster"}[variable]
    scheme = "http://" if what == "tracking" else ""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv(variable, address)
        assert examined(capsys)[0] == 0
    code, found = examined(capsys)
    assert code == 1 and found[what]["state"] == "broken" and address in found[what]["found"] and found[what]["do"]


@pytest.mark.parametrize(("package", "code"), [("torch", 1), ("mlflow", 0)])
def test_a_package_that_is_not_there_is_broken_only_where_nothing_goes_without_it(package, code, monkeypatch, capsys):
    there = doctor.version

    def version(name):
        if name == package:
            raise PackageNotFoundError(name)
        return there(name)

    monkeypatch.setattr(doctor, "version", version)
    ended, found = examined(capsys)
    assert ended == code
    assert found[package]["do"] == "make setup" and found[package]["state"] == ("broken" if code else "note")


def test_help_names_every_command_and_imports_nothing_heavy(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    for command in [command for members in GROUPS.values() for command, _ in members]:
        assert f"  {command.__name__} " in said and command.__doc__.splitlines()[0] in said


def test_shells_complete_commands(capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "genlib.bash"
    script.write_text(capsys.readouterr().out)
    words = 'COMP_WORDS=(genlib sam); COMP_CWORD=1; _shtab_genlib; echo "${COMPREPLY[@]}"'
    found = subprocess.run(["bash", "-c", f"source {script}; {words}"], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["sample"]
