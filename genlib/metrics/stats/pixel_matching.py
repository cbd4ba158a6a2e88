"""Distance of images to training images after small shifts and rotations, in pixels; features are sensitive to shifts.

Two descriptors, one robust to rotation and one to shifts, propose candidates among the training images; these are
compared pixel by pixel after each of a grid of shifts and rotations.
"""

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.images import chunk_length
from genlib.data.pixels import Pixels, fill_rows, images_within, iter_pieces, select_rows
from genlib.metrics.stats.neighbours import nearest_in_blocks

CHUNK_ELEMENTS = 1 << 20  # numbers of moved images that are held at a time
BLOCK_ELEMENTS = 1 << 24  # numbers of descriptors of training images that are held at a time
MIN_CONTRAST = 1.0  # grey levels: an image whose pixels differ by less in all is of one colour
CANDIDATES_PER_DESCRIPTOR = 16
COARSE_SIZE = 9  # of the coarse image
MAX_FREQUENCY = 3  # periods over the image, at most, along either axis
SHIFTS = (-1, 0, 1)  # pixels, along either axis
DEGREES = (-6, -3, 0, 3, 6)


def aligned_distance(pixels: Pixels, train: Pixels) -> tuple[Tensor, Tensor]:
    """Of each image x, uint8 [n, C, H, W], 1 - max corr(move(x), y) float64 [n], from 0 to 2, and the row of that y in
    `train`, over moves and candidates; corr is Pearson's over pixels and channels, 0 with an image of one colour."""
    descriptors = (coarse_descriptor, spectrum_descriptor)
    candidates = torch.cat([nearest_by(describe, pixels, train) for describe in descriptors], 1)
    grids = alignment_grids(pixels.shape[2], pixels.shape[3])
    rows = images_within(CHUNK_ELEMENTS, (len(grids), *pixels.shape[1:]))

    def match(x: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        closest, which = _correlations(x, train[among], grids).amax(1).max(1)
        return (1 - closest.double()).clamp(min=0), among.gather(1, which[:, None])[:, 0]

    distance, index = fill_rows(map(match, iter_pieces(pixels, rows), torch.split(candidates, rows)), len(pixels))
    return distance, index


def nearest_by(describe: Callable[[Tensor], Tensor], pixels: Pixels, train: Pixels) -> Tensor:
    """Rows int64 [n, k] of the training images whose descriptor is nearest to that of each image."""
    k, size = min(CANDIDATES_PER_DESCRIPTOR, len(train)), chunk_length(pixels.shape[1:])

    def describe_all(images: Pixels) -> Tensor:
        return fill_rows(((describe(piece),) for piece in iter_pieces(images, size)), len(images))[0]

    x = describe_all(pixels)
    num_rows = max(1, BLOCK_ELEMENTS // x.shape[1])
    blocks = (select_rows(train, slice(start, start + num_rows)) for start in range(0, len(train), num_rows))
    return nearest_in_blocks(x, map(describe_all, blocks), k)[1]


def coarse_descriptor(pixels: Tensor) -> Tensor:
    """Images of 9 by 9 pixels, each a mean with its neighbours, as vectors of mean 0, length 1, float32 [n, 81 C]."""
    small = F.adaptive_avg_pool2d(pixels.float(), COARSE_SIZE)
    return _unit_vectors(F.avg_pool2d(small, 3, stride=1, padding=1, count_include_pad=False))


def spectrum_descriptor(pixels: Tensor) -> Tensor:
    """Magnitudes of the lowest Fourier coefficients but the mean, as vectors of length 1, float32 [n, 28 C] at most."""
    x = pixels.float()
    size = torch.fft.rfft2(x - x.mean((2, 3), keepdim=True)).abs()[..., : MAX_FREQUENCY + 1]
    lowest = torch.cat([size[..., : MAX_FREQUENCY + 1, :], size[..., -MAX_FREQUENCY:, :]], 2).flatten(1)
    return F.normalize(lowest, eps=MIN_CONTRAST)


def alignment_grids(height: int, width: int) -> Tensor:
    """Where to read an image of this size for each rotation about its centre and shift, [T, H, W, 2]."""
    maps = []
    for degrees, down, right in product(DEGREES, SHIFTS, SHIFTS):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        maps.append([[c, -s * height / width, 2 * right / width], [s * width / height, c, 2 * down / height]])
    return F.affine_grid(torch.tensor(maps), [len(maps), 1, height, width], align_corners=False)


def _correlations(x: Tensor, among: Tensor, grids: Tensor) -> Tensor:
    """Of x [b, C, H, W] after each move with each of its own candidates [b, K, C, H, W]: [b, T, K]."""
    planes = x.float().flatten(0, 1).expand(len(grids), -1, -1, -1)
    moved = F.grid_sample(planes, grids, padding_mode="border", align_corners=False)
    moved = moved.view(len(grids), *x.shape).transpose(0, 1)
    return _unit_vectors(moved) @ _unit_vectors(among.float()).mT


def _unit_vectors(images: Tensor) -> Tensor:
    """Each image [..., C, H, W] as a vector [..., D] of mean 0 and length 1, or near 0 where it is of one colour."""
    flat = images.flatten(-3)
    return F.normalize(flat - flat.mean(-1, keepdim=True), dim=-1, eps=MIN_CONTRAST)
