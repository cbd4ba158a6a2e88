"""`genlib doctor`: what is broken, and how to fix it."""

import json

from genlib.cli import main
from genlib.commands import doctor


def test_doctor_finds_a_stale_address_of_a_cluster(monkeypatch):
    """The kind of fault: an address of yesterday that is still in the shell."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert [result.level for result in doctor.check_ray()] == ["broken"]


def test_doctor_names_what_is_broken(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense")
    monkeypatch.setattr(
        doctor,
        "all_checks",
        lambda: [doctor.check_python, doctor.check_torchvision, doctor.check_disk, doctor.check_tracking],
    )
    assert main(["doctor", "--json"]) == 1
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["MLflow's address"]["level"] == "broken" and "nonsense" in found["MLflow's address"]["found"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["doctor"]) == 0
    assert "does not answer" in capsys.readouterr().out
    (tmp_path / ".genlib/journal").mkdir(parents=True)
    assert any("0.1" in result.found for result in doctor.check_old_state())
    assert main(["doctor", "--fix"]) == 0
    assert not (tmp_path / ".genlib/journal").exists()
    versions = {"torch": "2.11.0", "torchvision": "0.28.0"}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    assert next(doctor.check_torchvision()).level == "broken"
