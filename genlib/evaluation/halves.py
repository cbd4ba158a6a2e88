"""Metrics on random halves of both sets, of which the test images are halved alike for every model.

With these two models' difference has a standard error that knows what their values share, the chance of the test
images: between halves it varies as it does between two draws of n / 2. They are kept in `detail.halves`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.evaluation.pool import ImagePool
from genlib.metrics.differences import format_halves
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import IMAGE_NEEDS, MAX_DRAWS, Metric, get_metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.partitions import canonical_order, random_parts
from genlib.progress import ProgressWrapper, without_progress

HALVINGS = 25
MAX_ROWS = 2000  # of each set, that are halved
DIGEST_LENGTH = 16


def add_halves(
    results: Mapping[str, MetricResult], inputs: MetricInputs, track: ProgressWrapper = without_progress
) -> dict[str, MetricResult]:
    """`results` with the values on halves, of those that compare generated with test images; others do not move with
    these, or cost too much."""
    names = [name for name, result in results.items() if result.value is not None and is_halved(get_metric(name))]
    found = values_on_halves(inputs, names, track) if names else {}
    shared = {"test": digest_of_test_images(inputs), "size": min(inputs.n, MAX_ROWS) // 2} if found else {}
    details = {name: {"halves": {**shared, "values": values}} for name, values in found.items()}
    return {name: replace(result, detail=result.detail | details.get(name, {})) for name, result in results.items()}


def is_halved(metric: Metric) -> bool:
    return metric.needs in IMAGE_NEEDS and metric.reference == "test" and metric.max_draws == MAX_DRAWS


def values_on_halves(
    inputs: MetricInputs, names: Sequence[str], track: ProgressWrapper = without_progress
) -> dict[str, str]:
    """Of each metric that has a value on all halves, [HALVINGS, 2] as text."""
    values: dict[str, list[float]] = {name: [] for name in names}
    for _, half in zip(track(range(2 * HALVINGS), "halves of the images"), iter_halves(inputs), strict=True):
        for name in list(values):
            try:
                values[name].append(get_metric(name).value(half))
            except UndefinedMetric:
                del values[name]
    return {name: format_halves(torch.tensor(each, dtype=torch.float64)) for name, each in values.items()}


def iter_halves(inputs: MetricInputs) -> Iterator[MetricInputs]:
    """The halves of one halving after the other. Test images are halved by what they are, each class alike; generated
    ones by their place, so that those of two models that were made of the same codes and labels stay together."""
    rows = min(inputs.n, MAX_ROWS)
    test, generated = inputs.test[:rows], inputs.generated[:rows]
    pools = ImagePool([generated]), ImagePool([test])
    parts = _parts_by_place(rows), random_parts(test.features, 2, HALVINGS, test.labels)
    centres = None if inputs.has_class_names else inputs.cluster_centres()
    own: dict[str, Any] = {"model": None, "second_inputs": None, "ratings": (), "controls": {}, "centres": centres}
    for x, y in zip(*(each.flatten(0, 1) for each in parts), strict=True):
        yield replace(inputs, samples=pools[0].take(x), test=pools[1].take(y), **own)


def _parts_by_place(rows: int) -> Tensor:
    """int64 [HALVINGS, 2, rows // 2]."""
    key = torch.rand(HALVINGS, rows, generator=seeded_generator("halves"), dtype=torch.float64)
    return key.argsort(1)[:, : rows // 2 * 2].view(HALVINGS, 2, rows // 2)


def digest_of_test_images(inputs: MetricInputs) -> str:
    """Of the features of the images that are halved, however they stand, and of n: evaluations that agree in it saw the
    same test images by the same extractor."""
    features = inputs.test.features[: min(inputs.n, MAX_ROWS)]
    content = features[canonical_order(features)].contiguous().numpy().tobytes()
    return sha256(content + str(inputs.n).encode()).hexdigest()[:DIGEST_LENGTH]
