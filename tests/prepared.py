"""A prepared data set in a folder, small enough to train on in a second."""

from genlib.data.dataset import prepare
from genlib.data.settings import DataSettings
from genlib.fit import Job, Training

MODELS = {
    "classifier": ({"name": "classifier", "width": 4}, {"name": "classification"}),
    "scorer": ({"name": "scorer", "width": 4}, {"name": "classification"}),
    "vae": ({"name": "vae", "width": 4, "latent": 4}, {"name": "elbo"}),
    "gan": (
        {"name": "gan", "width": 4, "width_d": 4, "latent": 4},
        {"name": "adversarial", "loss": "non_saturating", "r1": 1.0, "r2": 1.0, "penalty_every": 2},
    ),
}


def digits(folder):
    """The 8x8 digits, prepared in `folder`."""
    prepare(DataSettings(name="digits"), folder)
    return folder


def job(name, data, state=None, **train):
    """A tiny job of one of the default models."""
    model, objective = MODELS[name]
    settings = {"images": 96, "batch_size": 16, "report_every": 32, "checkpoint_every": 32, "precision": "float32"}
    return Job(name, model, objective, Training(**settings | train), data, state)
