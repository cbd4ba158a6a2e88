"""Distance of images to training images after a few moves, in pixels; features are sensitive to shifts.

A copy may show a training image as it is, mirrored, or zoomed into (VIEWS), shifted and rotated a little. Two
descriptors, one robust to rotation and one to shifts, propose views of training images as candidates; these are
compared pixel by pixel with the image after each of a grid of shifts and rotations.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.images import chunk_length
from genlib.data.pixels import Pixels, fill_rows, images_within, iter_pieces, select_rows
from genlib.metrics.stats.neighbours import nearest_in_blocks

CHUNK_ELEMENTS = 1 << 20  # numbers of moved images that are held at a time
BLOCK_ELEMENTS = 1 << 24  # numbers of descriptors of training images that are held at a time
MIN_CONTRAST = 1.0  # grey levels: an image whose pixels differ by less in all is of one colour
NEAREST_PER_VIEW, CANDIDATES_PER_DESCRIPTOR = 8, 12  # the nearest of each view, and of those of all views
COARSE_SIZE = 9  # of the coarse image
MAX_FREQUENCY = 3  # periods over the image, at most, along either axis
ZOOM = 0.9  # of the width and of the height is what a zoomed view shows
VIEWS = ((1.0, 1.0), (-1.0, 1.0), (ZOOM, ZOOM), (-ZOOM, ZOOM))  # factors of x and y, from the centre: -1 mirrors
LOCAL_RANK = 8  # the neighbour whose distance is the local scale
MAX_SHIFT = {-5: 1, 0: 2, 5: 1}  # pixels along either axis, for each rotation by so many degrees
NUM_MOVES = sum((2 * shift + 1) ** 2 for shift in MAX_SHIFT.values())


def aligned_distance(pixels: Pixels, train: Pixels) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image x, uint8 [n, C, H, W]: d(x, y) float64 [n], from 0 to 2, of the nearest training image y; its row;
    and the local scale d(x, y') float64 [n] of the 8th nearest y', or of the last where there are fewer.

    d(x, y) = 1 - max corr(move(x), view(y)) over moves and those views of y that are candidates; corr is Pearson's over
    pixels and channels, 0 with an image of one colour.
    """
    proposed = [nearest_by(describe, pixels, train) for describe in (coarse_descriptor, spectrum_descriptor)]
    candidates, views = (torch.cat(parts, 1) for parts in zip(*proposed, strict=True))
    grids = rotation_grids(pixels.shape[2], pixels.shape[3])
    rows = images_within(CHUNK_ELEMENTS, (NUM_MOVES, *pixels.shape[1:]))

    def match(x: Tensor, among: Tensor, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = show_views(train[among].flatten(0, 1), view.flatten()).view(*among.shape, *x.shape[1:])
        closest = _correlations(x, seen, grids).amax(1)
        return nearest_and_local_scale((1 - closest.double()).clamp(min=0), among)

    candidate_pieces, view_pieces = torch.split(candidates, rows), torch.split(views, rows)
    found = map(match, iter_pieces(pixels, rows), candidate_pieces, view_pieces)
    distance, index, scale = fill_rows(found, len(pixels))
    return distance, index, scale


def nearest_and_local_scale(distance: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of distances [n, K] to candidates, whose `rows` may repeat: the smallest, its row, and that of the 8th row."""
    order = distance.argsort(dim=1, stable=True)
    distance, rows = distance.gather(1, order), rows.gather(1, order)
    is_new = ~(rows[:, :, None] == rows[:, None]).tril(-1).any(2)
    rank = is_new.cumsum(1).clamp(max=LOCAL_RANK)
    return distance[:, 0], rows[:, 0], distance.gather(1, rank.argmax(1, keepdim=True))[:, 0]


def nearest_by(describe: Callable[[Tensor], Tensor], pixels: Pixels, train: Pixels) -> tuple[Tensor, Tensor]:
    """Rows int64 [n, k] of training images, and which views of them, whose descriptors are nearest to each image's.

    Each image is described as the inverse of each view shows it, so that training images are described once.
    """
    k, size = min(NEAREST_PER_VIEW, len(train)), chunk_length(pixels.shape[1:])

    def describe_views(images: Tensor) -> Tensor:
        view = torch.arange(len(VIEWS)).repeat(len(images))
        return describe(show_views(images.repeat_interleave(len(VIEWS), 0), view, inverse=True))

    x = fill_rows(((describe_views(piece),) for piece in iter_pieces(pixels, size)), len(VIEWS) * len(pixels))[0]
    num_rows = max(1, BLOCK_ELEMENTS // x.shape[1])
    blocks = (select_rows(train, slice(start, start + num_rows)) for start in range(0, len(train), num_rows))
    distance, rows = (
        part.view(len(pixels), -1)
        for part in nearest_in_blocks(x, (_describe_all(describe, block) for block in blocks), k)
    )
    best = distance.argsort(dim=1, stable=True)[:, :CANDIDATES_PER_DESCRIPTOR]
    return rows.gather(1, best), best // k


def _describe_all(describe: Callable[[Tensor], Tensor], images: Pixels) -> Tensor:
    pieces = iter_pieces(images, chunk_length(images.shape[1:]))
    return fill_rows(((describe(piece),) for piece in pieces), len(images))[0]


def show_views(images: Tensor, view: Tensor, *, inverse: bool = False) -> Tensor:
    """Each image [n, C, H, W] in its view, int64 [n], or as the inverse of that view shows it: float32."""
    factors = torch.tensor(VIEWS) ** (-1 if inverse else 1)
    maps = torch.cat([torch.diag_embed(factors), torch.zeros(len(VIEWS), 2, 1)], 2)
    grids = F.affine_grid(maps, [len(VIEWS), 1, *images.shape[2:]], align_corners=False)
    return F.grid_sample(images.float(), grids[view], padding_mode="border", align_corners=False)


def coarse_descriptor(pixels: Tensor) -> Tensor:
    """Images of 9 by 9 pixels, each a mean with its neighbours, as vectors of mean 0, length 1, float32 [n, 81 C]."""
    small = F.adaptive_avg_pool2d(pixels.float(), COARSE_SIZE)
    return _unit_vectors(F.avg_pool2d(small, 3, stride=1, padding=1, count_include_pad=False))


def coarse_images(pixels: Pixels) -> Tensor:
    """The coarse descriptors of any number of images."""
    return _describe_all(coarse_descriptor, pixels)


def spectrum_descriptor(pixels: Tensor) -> Tensor:
    """Magnitudes of the lowest Fourier coefficients but the mean, as vectors of length 1, float32 [n, 28 C] at most."""
    x = pixels.float()
    size = torch.fft.rfft2(x - x.mean((2, 3), keepdim=True)).abs()[..., : MAX_FREQUENCY + 1]
    lowest = torch.cat([size[..., : MAX_FREQUENCY + 1, :], size[..., -MAX_FREQUENCY:, :]], 2).flatten(1)
    return F.normalize(lowest, eps=MIN_CONTRAST)


def rotation_grids(height: int, width: int) -> Tensor:
    """Where to read an image of this size for each rotation about its centre, with a margin of the largest shift on
    every side: [R, H + 2 s, W + 2 s, 2]."""
    margin, maps = 2 * max(MAX_SHIFT.values()), []
    across, down = width + margin, height + margin
    for angle in map(math.radians, MAX_SHIFT):
        c, s = math.cos(angle), math.sin(angle)
        maps.append([[c * across / width, -s * down / width, 0], [s * across / height, c * down / height, 0]])
    return F.affine_grid(torch.tensor(maps), [len(maps), 1, down, across], align_corners=False)


def _correlations(x: Tensor, among: Tensor, grids: Tensor) -> Tensor:
    """Of x [b, C, H, W] after each move with each of its own candidates [b, K, C, H, W]: [b, T, K]."""
    planes = x.float().flatten(0, 1).expand(len(grids), -1, -1, -1)
    rotated = F.grid_sample(planes, grids, padding_mode="border", align_corners=False)
    windows = rotated.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)  # one for each shift
    windows = windows.view(len(grids), *x.shape[:2], *windows.shape[2:]).permute(1, 0, 3, 4, 2, 5, 6)
    largest = max(MAX_SHIFT.values())
    shifts = (slice(largest - most, largest + most + 1) for most in MAX_SHIFT.values())
    moved = [_unit_vectors(windows[:, r, near, near]).flatten(1, 2) for r, near in enumerate(shifts)]
    return torch.cat(moved, 1) @ _unit_vectors(among.float()).mT


def _unit_vectors(images: Tensor) -> Tensor:
    """Each image [..., C, H, W] as a vector [..., D] of mean 0 and length 1, or near 0 where it is of one colour."""
    flat = images.flatten(-3)
    return F.normalize(flat - flat.mean(-1, keepdim=True), dim=-1, eps=MIN_CONTRAST)
