"""A search space in Ray's terms: what is encoded is read back."""

import pytest

from genlib.tuning.space import SpaceCodec


@pytest.mark.parametrize("log_transform", [False, True])
def test_a_config_of_ray_is_read_back_as_the_hyperparameters(log_transform):
    space = {
        "train.lr_g": {"loguniform": [1e-4, 1e-2]},
        "train.lr_d/lr_g": {"loguniform": [0.5, 2.0]},
        "objective.r1": {"uniform": [0, 10]},
        "model.pack": {"choice": [1, 2]},
        "model.latent": {"int": [4, 32]},
    }
    hyperparameters = {
        "train.lr_g": 1e-3,
        "train.lr_d/lr_g": 1.0,
        "objective.r1": 3,
        "model.pack": 2,
        "model.latent": 8,
    }
    codec = SpaceCodec(space, log_transform)
    config = codec.to_ray_config(hyperparameters | {"train.seed": 5})
    assert not any("/" in name for name in config)
    assert isinstance(config["objective.r1"], float), "a population rounds what is whole"
    assert codec.from_ray_config(config) == pytest.approx(hyperparameters | {"train.seed": 5})
    assert set(codec.ray_distributions()) == {codec.ray_name(key) for key in space}
    low, high = codec.bounds("train.lr_g")
    assert low < config["train.lr_g"] < high
