"""Registry: against independent code, closed forms and planted faults."""

import subprocess
import sys
from dataclasses import replace

import pytest
from synthetic_features import SAMPLE_METRICS, evidence, real

from genlib.errors import InputError
from genlib.metrics.registry import check_metric_names, get_metric, metric, metric_names, model_capabilities
from genlib.metrics.result import MetricResult


@pytest.mark.parametrize(
    ("methods", "can"),
    [
        ({}, set()),
        ({"sample": 1}, {"samples"}),
        ({"features": 1, "head": 1}, {"classifies"}),
        ({"log_weights": 1, "encode_mean": 1, "sample": 1}, {"likelihood", "encodes", "samples"}),
        ({"log_weights": 1, "conditional": True}, {"likelihood", "conditional"}),
        ({"log_weights": 1, "conditional": False}, {"likelihood"}),
        ({"sample": 1, "conditional": True}, {"samples"}),
        ({"translate": 1}, {"translates"}),
    ],
)
def test_what_a_model_can_do_is_told_by_its_methods(methods, can):
    model = type("Some", (), methods)()
    assert model_capabilities(model) == can and model_capabilities(None) == frozenset()
    for need in {"classifies", "likelihood", "conditional", "encodes", "translates"} - can:
        found = metric(needs=need)(lambda inputs: MetricResult(1.0))(replace(evidence(real(60, 4)), model=model))
        assert found.value is None and found.detail["reason"].startswith("this model ")


def test_unknown_names_get_the_legal_ones_and_the_closest():
    with pytest.raises(InputError, match=r"evaluate.metrics: got 'frechett' \(did you mean frechet\?\), expected acc"):
        check_metric_names(["kid", "frechett"])
    with pytest.raises(InputError, match=r"tune.metric: got 'xyz', expected "):
        check_metric_names(["xyz"], where="tune.metric")


def test_every_metric_is_found_under_its_own_name():
    assert {*SAMPLE_METRICS, "accuracy"} <= set(metric_names())
    for name in metric_names():
        assert get_metric(name).compute.__name__ == name and get_metric(name).summary


def test_names_need_no_torch():
    imports = "import sys; from genlib.metrics.registry import metric_names"
    code = f"{imports}; assert metric_names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
