"""A metric whose contrast is undefined has a value and a baseline, and no p-value."""

from dataclasses import replace

import torch
from evaluation.test_baselines import labelled_inputs

from genlib.evaluation.baselines import BaselineSampler, simulate
from genlib.evaluation.runner import compute_metrics, compute_p_values


def test_test_images_without_a_value_of_their_own_leave_no_p_value():
    """`vendi` is tested by its difference from test images, here of features of length 0."""
    inputs = labelled_inputs()
    baselines = simulate(BaselineSampler(inputs), ["vendi"])
    blank = replace(inputs.test, features=torch.zeros_like(inputs.test.features))
    result = compute_metrics(replace(inputs, test=blank), ["vendi"], baselines)["vendi"]
    assert result.value is not None
    assert result.p is None
    assert compute_p_values(replace(inputs, test=blank), baselines) == {}
