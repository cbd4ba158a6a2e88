"""What a metric is written with, in one import."""

from genlib.metrics.inputs import MetricInputs as MetricInputs
from genlib.metrics.registry import metric as metric
from genlib.metrics.result import MetricResult as MetricResult
from genlib.metrics.result import UndefinedMetric as UndefinedMetric
from genlib.metrics.result import share_below_baseline as share_below_baseline
