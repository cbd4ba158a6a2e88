"""MIND: the sliced Wasserstein distance of features.

On a line the best way to carry n points to n others keeps their order, so the squared distance is the mean of (a_j -
b_j)^2, a and b sorted. Its Kantorovich potentials, with f_j + g_j = (a_j - b_j)^2, are the influence of each point.
"""

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, metric
from genlib.metrics.stats.intervals import score_interval
from genlib.metrics.stats.partitions import draw_rows, random_parts
from genlib.metrics.stats.strata import variance_of_mean

NUM_DIRECTIONS = 1000
CHUNK_ELEMENTS = 1 << 22  # projections of one set held at once
SCALE = 3  # times the number of features
MAX_ROWS, HALVINGS, NUM_NULL_DIRECTIONS = 2000, 50, 50  # for the chance at equality


@metric(
    question=("Realistic?", 14),
    better="lower",
    min_images=40,
    must_detect={"collapse": "higher", "noise": "higher", "blurred": "higher"},
    statistic=lambda inputs: mind_of(inputs)[0],
    max_draws=29,
)
def mind(inputs: MetricInputs) -> MetricResult:
    """3 d mean over 1,000 directions u of the squared Wasserstein-2 distance between the features' projections on u
    (Berthet et al. 2026); lower is better."""
    value, of_x, of_y = mind_of(inputs)
    plug_in = variance_of_mean(of_x) + variance_of_mean(of_y, inputs.real.labels)
    floor, null_variance = null_moments(inputs.real.features.double(), inputs.n)
    low, high = score_interval(value, floor, null_variance, plug_in)
    return MetricResult(value, max(0.0, low), high, n=inputs.n, detail={"directions": NUM_DIRECTIONS})


def mind_of(inputs: MetricInputs) -> tuple[float, Tensor, Tensor]:
    x, y = inputs.generated.features.double(), inputs.real.features.double()
    return sliced_distance(x, y, draw_directions(x.shape[1], NUM_DIRECTIONS))


def draw_directions(d: int, count: int) -> Tensor:
    """Uniform on the sphere, float64 [count, d]."""
    u = torch.randn(count, d, generator=seeded_generator("directions"), dtype=torch.float64)
    return u / u.norm(dim=1, keepdim=True)  # type: ignore[no-any-return]


def sliced_distance(x: Tensor, y: Tensor, directions: Tensor) -> tuple[float, Tensor, Tensor]:
    """3 d E_u W2^2(x.u, y.u) of x, y float64 [n, d], and the influence of the rows of x and of y on it, [n] each."""
    n, d = x.shape
    total, of_x, of_y = x.new_zeros(()), x.new_zeros(n), x.new_zeros(n)
    for u in torch.split(directions, max(1, CHUNK_ELEMENTS // n)):
        (a, i), (b, j) = ((u @ points.T).sort(1) for points in (x, y))
        gap = a - b
        total += gap.square().sum()
        for influence, line, rows, sign in ((of_x, a, i, 1), (of_y, b, j, -1)):
            influence.index_add_(0, rows.flatten(), _potential(line, sign * gap).flatten())
    scale = SCALE * d / len(directions)
    return scale * float(total) / n, scale * of_x, scale * of_y


def _potential(line: Tensor, gap: Tensor) -> Tensor:
    """f with f' = 2 gap, by trapezia along sorted points [directions, n], less its mean."""
    steps = line.diff(dim=1) * (gap[:, 1:] + gap[:, :-1])
    potential = torch.nn.functional.pad(steps, (1, 0)).cumsum(1)
    return potential - potential.mean(1, keepdim=True)


def null_moments(y: Tensor, n: int) -> tuple[float, float]:
    """Mean and variance at n images of equal distributions, where the influence vanishes: those between random halves
    of m of the test images, by m/n and its square."""
    y = y[draw_rows(y, MAX_ROWS)]
    directions = draw_directions(y.shape[1], NUM_NULL_DIRECTIONS)
    parts = random_parts(y, 2, HALVINGS)
    values = torch.tensor([sliced_distance(y[a], y[b], directions)[0] for a, b in parts], dtype=torch.float64)
    ratio = parts.shape[2] / n
    return ratio * float(values.mean()), ratio**2 * float(values.var())
