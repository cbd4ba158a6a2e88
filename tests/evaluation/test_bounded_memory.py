"""Evaluation reads pixels a piece at a time, and says the same as where all is in memory."""

import json

import numpy as np
import pytest
import torch
from evaluate_project import FAKE, PIXELS, REAL, TRAIN
from evaluated_models import models as models
from prepared import digits

import genlib
from genlib.data import images, pixels
from genlib.data.dataset import load_dataset
from genlib.evaluation.evaluator import Evaluator, compute_applicable_metrics
from genlib.evaluation.runner import report_to_json
from genlib.figures.evaluation import write_figures
from genlib.metrics import linear_probe
from genlib.metrics.stats import birthday, pixel_matching
from genlib.registry import load

pytestmark = pytest.mark.usefixtures("hasty_probe", "few_draws")
PIECE = 16  # images
LARGEST_READ = 500 * 64  # bytes: of the images that a page encodes, half of the training images
METRICS = ["kid", "copies", "support", "sharpness", "membership_auc", "probe_accuracy", "accuracy", "ece"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


@pytest.fixture
def hasty_probe(monkeypatch):
    monkeypatch.setattr(linear_probe, "MAX_ITERATIONS", 3)


@pytest.fixture
def stored(monkeypatch):
    """Every set stays in its file."""
    monkeypatch.setattr(pixels, "MAX_HELD_BYTES", 0)
    return monkeypatch


@pytest.fixture
def reads(stored):
    """How many bytes each read of a file gives, where no piece has more than PIECE images."""
    size, found = PIECE * 64, []
    stored.setattr(pixels, "PIECE_BYTES", size)
    stored.setattr(images, "MAX_CHUNK", PIECE)
    stored.setattr(birthday, "HELD_ELEMENTS", size)
    stored.setattr(linear_probe, "TEST_ELEMENTS", size)
    stored.setattr(pixel_matching, "CHUNK_ELEMENTS", 15 * 45 * 64)
    read = pixels.StoredPixels.__getitem__

    def noted(store, index):
        values = read(store, index)
        found.append(values.nbytes if values.dtype == torch.uint8 else 0)
        return values

    stored.setattr(pixels.StoredPixels, "__getitem__", noted)
    return found


def evaluated(models, data, name):
    evaluator = Evaluator.from_folder(models / "runs/train/classifier", load_dataset(data))
    return evaluator.test_inputs(load(models / "runs/train" / name), 100, 0)


def described(inputs):
    results = compute_applicable_metrics(inputs, METRICS)
    return json.dumps(report_to_json(results, (), {})), results


@pytest.mark.parametrize("name", ["gan", "autoencoder", "classifier"])
def test_prepared_images_in_files_have_the_metrics_of_those_in_memory(models, data, name, monkeypatch):
    held = evaluated(models, data, name)
    monkeypatch.setattr(pixels, "MAX_HELD_BYTES", 0)
    stored = evaluated(models, data, name)
    assert isinstance(held[""].train.pixels, torch.Tensor) and isinstance(stored[""].train.pixels, pixels.StoredPixels)
    assert described(held)[0] == described(stored)[0]


def test_image_sets_in_files_have_the_metrics_of_those_in_memory(monkeypatch):
    sets = PIXELS[REAL], PIXELS[FAKE] / np.float32(255), PIXELS[TRAIN][..., None].repeat(3, 3)
    held = genlib.evaluate(*sets, metrics=METRICS[:4])
    monkeypatch.setattr(pixels, "MAX_HELD_BYTES", 0)
    assert report_to_json(genlib.evaluate(*sets, metrics=METRICS[:4]), (), {}) == report_to_json(held, (), {})


def test_no_metric_or_figure_reads_more_than_a_piece(models, data, reads, tmp_path):
    """Of the training images, that is: 1,000 times as many would need no more memory."""
    inputs = evaluated(models, data, "gan")
    results = described(inputs)[1]
    write_figures(inputs, results, tmp_path)
    assert sum(reads) > 5 * inputs[""].train.pixels.shape.numel() and max(reads) <= LARGEST_READ


def test_no_metric_of_image_sets_reads_more_than_a_piece(reads):
    genlib.evaluate(PIXELS[REAL] / 255, PIXELS[FAKE] / 255, PIXELS[TRAIN] / 255, metrics=METRICS[:4])
    assert sum(reads) > 5 * PIXELS[TRAIN].nbytes and max(reads) <= LARGEST_READ
