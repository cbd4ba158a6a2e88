"""A calibration is simulated once and read from its file after that; other code or data have another file."""

import os

import pytest
import torch
from evaluation.test_baselines import labelled_inputs
from evaluation.test_faults import extract

from genlib.evaluation import baselines, calibration
from genlib.evaluation.calibration import calibrate, calibration_key, heard_metrics
from genlib.metrics.registry import metric_names

NAMES = ["sharpness", "mode_kl", "accuracy", "vendi"]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(baselines, "num_draws", lambda n, limit: 5)
    monkeypatch.setattr("genlib.evaluation.faults.MIN_REPLICATES", 1)
    monkeypatch.setattr("genlib.evaluation.faults.MAX_REPLICATES", 1)


def test_it_comes_back_from_its_file_whole(tmp_path, monkeypatch):
    inputs, file = labelled_inputs(), tmp_path / "folder/one.safetensors"
    made = calibrate(inputs, extract, NAMES, file)
    monkeypatch.setattr(calibration, "simulate", None)
    read = calibrate(inputs, extract, NAMES, file)
    assert set(read.baselines) == {"sharpness", "mode_kl", "vendi"}
    for name, baseline in made.baselines.items():
        assert torch.equal(read.baselines[name].values, baseline.values)
        assert torch.equal(read.baselines[name].contrasts, baseline.contrasts)
    assert list(read.planted) == list(made.planted)
    for fault, by_metric in made.planted.items():
        assert {name: p.tolist() for name, p in by_metric.items()} == {
            name: p.tolist() for name, p in read.planted[fault].items()
        }


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\x08" + b"\0" * 7 + b"{}      "])
def test_a_file_that_cannot_be_read_is_made_again(tmp_path, content):
    inputs, file = labelled_inputs(), tmp_path / "one.safetensors"
    file.write_bytes(content)
    assert "sharpness" in calibrate(inputs, extract, NAMES, file).baselines
    assert len(file.read_bytes()) > 100


def test_every_fact_and_the_code_make_another_key(tmp_path, monkeypatch):
    keys = {calibration_key(*facts) for facts in (("a", 1), ("a", 2), ("b", 1), ("a1",))}
    assert len(keys) == 4 and calibration_key("a", 1) in keys
    (tmp_path / "code.py").write_text("x = 1")
    monkeypatch.setattr(calibration, "CODE", (str(tmp_path / "code.py"),))
    before = calibration_key("a")
    (tmp_path / "code.py").write_text("x = 2")
    assert calibration_key("a") != before


def test_only_metrics_of_verdicts_are_heard():
    heard = heard_metrics(metric_names())
    assert {"frechet", "copies", "support", "residual_auc"} <= set(heard)
    assert not {"accuracy", "membership_auc", "human_error_rate", "one_to_many"} & set(heard)


def test_the_last_used_calibrations_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "MAX_CACHED", 2)
    inputs, files = labelled_inputs(), [tmp_path / f"{name}.safetensors" for name in "abc"]

    def calibrate_in_turn(number, seconds):
        calibrate(inputs, extract, ["sharpness"], files[number])
        for path in tmp_path.glob(f"{files[number].stem}.*"):
            os.utime(path, (seconds, seconds))

    for turn, number in enumerate([0, 1, 0]):
        calibrate_in_turn(number, 100 + turn)
    calibrate_in_turn(2, 200)
    assert {path.name for path in tmp_path.iterdir()} == {"a.safetensors", "c.safetensors", "a.lock", "c.lock"}
