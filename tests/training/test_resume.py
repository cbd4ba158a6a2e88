"""A resumed run is the undisturbed one, image pools included."""

import pytest
import torch
from prepared import digits, final_weights

from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.errors import InputError
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob

ALL = {"cycle": 3.0, "identity": 2.0, "semantic": 1.5}


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def job(data, state, **objective):
    training = TrainConfig(128, 16, report_every=32, checkpoint_every=64, precision="float32")
    model = {"name": "cyclegan", "width": 4, "blocks": 1, "width_d": 4, "judge": True}
    return TrainingJob("cyclegan", model, {"name": "translation", **objective}, training, load_dataset(data), state)


def test_a_resumed_run_is_the_undisturbed_one_bit_for_bit(data, tmp_path):
    list(fit(job(data, tmp_path / "whole", **ALL)))
    for progress in fit(job(data, tmp_path / "cut", **ALL)):
        if progress.checkpoint_due:
            break
    list(fit(job(data, tmp_path / "cut", **ALL)))
    (averaged, raw, history), (averaged_too, raw_too, history_too) = (
        final_weights(tmp_path / name) for name in ("whole", "cut")
    )
    assert history == history_too
    assert raw["pool.a.images"].any()
    assert raw["shown"].any()
    for one, other in ((averaged, averaged_too), (raw, raw_too)):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_one_domain_is_refused_before_any_training(tmp_path):
    prepare(DataConfig(name="digits"), tmp_path)
    with pytest.raises(InputError, match="got one domain of images, expected two"):
        next(fit(job(tmp_path, None)))
