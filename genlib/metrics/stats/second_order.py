"""The chance in a squared distance of two means, |mean f(x) - mean f(y)|^2, where the distributions are equal.

There its influence functions vanish, and what is left is a quadratic form: with c_i = (f(x_i) - its mean) / n and
- (f(y_j) - its mean) / n, of the covariance S = sum_i c_i c_i', it has the mean tr S and the variance 2 tr S^2. Both
are sums over the Gram matrix of centred rows, c_i . c_j; its diagonal, which would bias tr S^2, is left out.
"""

from dataclasses import dataclass

from torch import Tensor

from genlib.metrics.stats.strata import centre, freedom

MAX_ROWS = 500  # of each set, whose pairs are summed


@dataclass(frozen=True)
class NullMoments:
    """`mean` and `variance` for equal distributions. `strata`: how much less the mean is than without strata;
    `unshared`: the variance less the part of y alone, 2 tr S_y^2, which cancels in the difference of two x that share
    their y."""

    mean: float
    variance: float
    strata: float
    unshared: float


def null_moments(
    xx: Tensor, yy: Tensor, xy: Tensor, n: int, strata: Tensor | None = None, num_real: int | None = None
) -> NullMoments:
    """For n rows x and `num_real` rows y, by default as many, from the kernel f . f among m of them: float64 [m, m]
    within x, within y, and between; `strata` are those of y, int64 [m]."""
    k = num_real or n
    xx, yy_plain = _centre_both(xx, None, None), _centre_both(yy, None, None)
    yy, xy = _centre_both(yy, strata, strata), _centre_both(xy, None, strata)
    of_x, plain = (float(each.diagonal().sum()) / freedom(each) / size for each, size in ((xx, n), (yy_plain, k)))
    of_y = float(yy.diagonal().sum()) / freedom(yy, strata) / k
    unshared = 2 * (_mean_square_off_diagonal(xx) / n**2 + 2 * float(xy.square().mean()) / (n * k))
    variance = unshared + 2 * _mean_square_off_diagonal(yy) / k**2
    return NullMoments(of_x + of_y, variance, plain - of_y, unshared)


def null_moments_of_one(xx: Tensor, n: int) -> NullMoments:
    """For n rows x alone, held against a distribution that is known."""
    centred = _centre_both(xx, None, None)
    mean = float(centred.diagonal().sum()) / freedom(centred) / n
    variance = 2 * _mean_square_off_diagonal(centred) / n**2
    return NullMoments(mean, variance, 0.0, variance)


def _centre_both(kernel: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    return centre(centre(kernel, rows).T, columns).T


def _mean_square_off_diagonal(kernel: Tensor) -> float:
    m = len(kernel)
    return float(kernel.square().sum() - kernel.diagonal().square().sum()) / (m * (m - 1))
