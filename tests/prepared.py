"""A prepared data set, small enough to train on in a second, and tiny jobs of every model of params.yaml."""

from pathlib import Path

from genlib.data.dataset import prepare
from genlib.data.settings import DataSettings, OtherSettings
from genlib.fit import Job, Training
from genlib.params import load_params

SMALL = 4
PARAMS = load_params(Path(__file__).parent.parent / "params.yaml")


def small(options):
    """A model's options with every width and code cut down."""
    return {key: min(value, SMALL) if type(value) is int else value for key, value in options.items()}


MODELS = {name: (small(entry.model), dict(entry.objective)) for name, entry in PARAMS.models.items()}


def digits(folder):
    """The 8x8 digits and, as a second domain, printed ones, prepared in `folder`."""
    prepare(DataSettings(name="digits", other=OtherSettings("printed_digits")), folder)
    return folder


def job(name, data, state=None, **train):
    """A tiny job of one of the default models."""
    model, objective = MODELS[name]
    settings = {"images": 96, "batch_size": 16, "report_every": 32, "checkpoint_every": 32, "precision": "float32"}
    return Job(name, model, objective, Training(**settings | train), data, state)
