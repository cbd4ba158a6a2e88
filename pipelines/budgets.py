"""Budgets of training for any images: a preset's, scaled so that the whole graph takes as many operations.

A preset's counts of images say how the work is shared among the models; what one image costs is counted at the size
and with the channels that the images have.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import floor, log10
from typing import Any

from genlib.data.config import AUTO_SIZES
from genlib.params import Params
from genlib.training.job import TrainingSpec
from pipelines.flops import flops_per_image
from pipelines.model_checks import DataSpec

# Of the whole graph. A core does about 40 GFLOP/s on nets of this size, in float32 without AVX-512; with two of them
# training takes 10 minutes, beside which evaluation and the starts of processes take about 5.
GRAPH_FLOPS = 5e13
MAX_SCALE = 4.0  # of small images, on which a step is bound by other things than operations
NUM_REPORTS, NUM_CHECKPOINTS = 20, 4
COUNT_KEYS = ("total_images", "images_per_trial", "report_every", "checkpoint_every")


def scale_budgets(params: Params, data_spec: DataSpec, given: Collection[str]) -> dict[str, int]:
    """Counts of images by dotted key: those of `params` times what makes the graph cost GRAPH_FLOPS on such data. Left
    out are keys that are `given`, and the reports of models whose count is."""
    scale = min(MAX_SCALE, GRAPH_FLOPS / sum(_flops_of_graph(params, name, data_spec) for name in params.models))
    budgets = {"tune.images_per_trial": round_down(scale * params.tune.images_per_trial)}
    for name in params.models:
        if (key := f"models.{name}.train.total_images") not in given:
            count = round_down(scale * params.train_config(name).total_images)
            budgets[key] = count
            budgets[f"models.{name}.train.report_every"] = round_down(count / NUM_REPORTS)
            budgets[f"models.{name}.train.checkpoint_every"] = round_down(count / NUM_CHECKPOINTS)
    return {key: count for key, count in budgets.items() if key not in given}


def shrink_counts(params: Params, data_spec: DataSpec, counts: Mapping[str, Any]) -> dict[str, int]:
    """Those of the `counts` of a preset, by dotted key, that are of images, for images larger than `auto` makes them:
    fewer, so that the graph of `params` costs as many operations as at that size."""
    channels, *sides = data_spec.shape
    height, width = (min(side, AUTO_SIZES[1]) for side in sides)
    small = replace(data_spec, shape=(channels, height, width))
    keys = [key for key in counts if key.rpartition(".")[2] in COUNT_KEYS]
    if small == data_spec or not keys:
        return {}
    costs = [sum(_flops_of_graph(params, name, spec) for name in params.models) for spec in (small, data_spec)]
    return {key: round_down(min(1.0, costs[0] / costs[1]) * counts[key]) for key in keys}


def describe_budgets(budgets: Mapping[str, int]) -> list[str]:
    """A line with the images that each model sees, and how to raise them; none where no model's were set."""
    if not (totals := _totals(budgets)):
        return []
    counts = _format_totals(totals)
    name = "gan" if "gan" in totals else [*totals][-1]
    longer = f'SET="models.{name}.train.total_images={10 * totals[name]}", or PRESET=photos64 on a GPU'
    return [f"training images, for about 15 minutes on two cores: {counts} (longer: {longer})"]


def describe_shrunk(counts: Mapping[str, int]) -> list[str]:
    """A line with the images that each model sees, fewer than the preset says; none where no model's were changed."""
    if not (totals := _totals(counts)):
        return []
    small = f"the preset is for images of up to {AUTO_SIZES[1]} pixels, of larger ones models see fewer"
    return [f"training images, for as much work: {_format_totals(totals)} ({small}; SET says otherwise)"]


def _totals(budgets: Mapping[str, int]) -> dict[str, int]:
    return {key.split(".")[1]: count for key, count in budgets.items() if key.endswith(".total_images")}


def _format_totals(totals: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in totals.items())


def round_down(count: float) -> int:
    """To two digits: 12,345 -> 12,000."""
    unit = 10 ** max(0, floor(log10(max(1.0, count))) - 1)
    return max(1, int(count // unit * unit))


def _flops_of_graph(params: Params, name: str, data_spec: DataSpec) -> float:
    """Operations of all stages that train a model: its own, the trials of its sweep and their refits."""
    section, config, tune = params.models[name], params.train_config(name), params.tune
    num_images = len(params.train_seeds(name)) * config.total_images
    if name in tune.models:
        num_images += tune.refit.seeds * config.total_images + tune.trials * tune.images_per_trial
    spec = TrainingSpec(name, section.model, section.objective, config)
    return num_images * flops_per_image(spec, data_spec.shape, data_spec.num_classes, data_spec.num_domains)
