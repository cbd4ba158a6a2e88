"""Result: against independent code, closed forms and planted faults."""

import numpy as np
import pytest
import torch
from synthetic_features import evidence, real

from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric


def test_a_measure_holds_plain_finite_numbers_only():
    with pytest.raises(UndefinedMetric, match="the value came out as nan"):
        MetricResult(float("nan"))
    with pytest.raises(UndefinedMetric, match=r"detail.share came out as inf"):
        MetricResult(1.0, detail={"share": torch.tensor([1.0, torch.inf])})
    measure = MetricResult(torch.tensor(1.5), np.float32(1), n=np.int64(3), detail={"a": (torch.tensor(2),)})
    assert (type(measure.value), type(measure.low), type(measure.n)) == (float, float, int)
    assert measure.detail == {"a": [2]}
    overflow = metric()(lambda inputs: MetricResult(float("inf")))
    assert overflow(evidence(real(60, 4))).detail["reason"] == "the value came out as inf"
