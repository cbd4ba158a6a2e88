"""What a metric is written with, in one import. Details, intervals and blind spots of each one: docs/metrics.md."""

from genlib.metrics.inputs import FeatureSet as FeatureSet
from genlib.metrics.inputs import MetricInputs as MetricInputs
from genlib.metrics.registry import metric as metric
from genlib.metrics.result import MetricResult as MetricResult
from genlib.metrics.result import UndefinedMetric as UndefinedMetric
from genlib.metrics.result import shortfall as shortfall
