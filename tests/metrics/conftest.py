"""Fixtures of the tests of metrics."""

from synthetic_features import digits as digits
