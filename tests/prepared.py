"""A prepared data set, small enough to train on in a second, and tiny jobs of every model of params.yaml."""

from dataclasses import replace
from pathlib import Path

from genlib.data.config import DataConfig, DomainBConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.params import load_params
from genlib.training.checkpoints import latest_checkpoint
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingJob

SMALL = 4
PARAMS = load_params(Path(__file__).parent.parent / "params.yaml")


def small(options):
    """A model's options with every width and code cut down."""
    return {key: min(value, SMALL) if type(value) is int else value for key, value in options.items()}


MODELS = {name: (small(entry.model), dict(entry.objective)) for name, entry in PARAMS.models.items()}


def digits(folder):
    """The 8x8 digits and, as a second domain, printed ones, prepared in `folder`."""
    prepare(DataConfig(name="digits", domain_b=DomainBConfig("printed_digits")), folder)
    return folder


def job(name, data, state=None, **train):
    """A tiny job of one of the default models."""
    model, objective = MODELS[name]
    settings = {
        "total_images": 96,
        "batch_size": 16,
        "report_every": 32,
        "checkpoint_every": 32,
        "precision": "float32",
    }
    return TrainingJob(name, model, objective, TrainConfig(**settings | train), load_dataset(data), state)


def final_weights(checkpoint_dir):
    """Averaged weights, raw weights and history of the newest checkpoint."""
    found = latest_checkpoint(checkpoint_dir)
    return found.tensors("ema."), found.tensors("model."), found.history


def jobs(data, states):
    """A tiny job of every default model, and of the losses, penalties and layers that those do not have."""
    plain = [job(name, data, states / name) for name in MODELS]
    gan = next(each for each in plain if each.name == "gan")
    penalties = {
        "loss": "hinge",
        "r1": 1.0,
        "r2": 0.5,
        "lazy_reg_interval": 2,
        "instance_noise": 0.1,
        "d_steps_per_g_step": 2,
    }
    others = {
        "wasserstein": (gan.model, {"loss": "wasserstein", "gradient_penalty": 10.0}),
        "penalties": (gan.model, penalties),
        "packs": (gan.model | {"pack": 2}, {"loss": "least_squares"}),
        "dcgan": ({"name": "dcgan", "latent": SMALL, "width": SMALL, "width_d": SMALL}, {}),
    }
    more = [
        replace(
            gan, name=name, model=model, objective={"name": "adversarial"} | objective, checkpoint_dir=states / name
        )
        for name, (model, objective) in others.items()
    ]
    return [*plain, *more]
