"""Does it know what it sees? For models that classify."""

from __future__ import annotations

from typing import cast

from torch import nn

from genlib.evaluation.evidence import Evidence, View, look
from genlib.evaluation.intervals import wilson
from genlib.evaluation.measure import Measure, Undefined
from genlib.evaluation.metric import metric


@metric(needs="classifies")
def accuracy(evidence: Evidence) -> Measure:
    """Share of all test images whose most probable class by the model is their label. Interval: Wilson."""
    model = cast(nn.Module, evidence.model)
    return accuracy_of(look(model, evidence.test.images, next(model.parameters()).device))


def accuracy_of(view: View) -> Measure:
    """The accuracy of the judge that saw `view`; goes on the card of every number that judge gave."""
    if view.labels is None:
        raise Undefined("the data have no labels")
    if not len(view):
        raise Undefined("there are no test images")
    correct = int((view.classes == view.labels).sum())
    low, high = wilson(correct, len(view))
    return Measure(correct / len(view), low, high, n=len(view), detail={"correct": correct})
