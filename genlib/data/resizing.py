"""Where an image of one size goes in another: by its centre (crop), by its corners (squash) or whole (pad).

Resize to (H, W) = `scaled_size`, then take the `window` of the size that is asked for. Where that is square, crop is
torchvision's `Resize` of the shorter side and `CenterCrop`.
"""

from typing import Literal

Size = tuple[int, int]  # height, width
Resize = Literal["crop", "squash", "pad"]


def scaled_size(own: Size, size: Size, resize: Resize) -> Size:
    """The size that an image of size `own` is resized to: it covers `size` (crop), equals it (squash), or fits in it
    (pad)."""
    if resize == "squash":
        return size
    (height, width), (target_height, target_width) = own, size
    is_wide = width * target_height > height * target_width
    if is_wide == (resize == "crop"):
        return target_height, max(1, int(target_height * width / height))
    return max(1, int(target_width * height / width)), target_width


def window(scaled: Size, size: Size) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the `size` in the middle of `scaled`; what lies outside is black."""
    top, left = (round((have - want) / 2) for have, want in zip(scaled, size, strict=True))
    return left, top, left + size[1], top + size[0]
