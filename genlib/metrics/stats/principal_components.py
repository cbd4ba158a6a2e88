"""Principal components (Pearson 1901) of centred rows, with signs that do not depend on the machine."""

import torch
from torch import Tensor
from torch.nn import functional as F


def principal_components(x: Tensor, components: int) -> Tensor:
    """Orthonormal directions [d, k] of the largest variance of centred rows x [n, d], by the smaller of x'x and xx'; at
    least one, and no more than `components` or the rank. Signs: the largest entry of each is positive."""
    n, d = x.shape
    squares, vectors = torch.linalg.eigh(x.T @ x if d <= n else x @ x.T)
    kept = max(1, min(components, int((squares > squares[-1] * 1e-9).sum())))
    vectors = vectors[:, -kept:].flip(1)
    directions = F.normalize(vectors if d <= n else x.T @ vectors, dim=0)
    peaks = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return directions * torch.where(peaks < 0, -1.0, 1.0)
