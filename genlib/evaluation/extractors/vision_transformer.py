"""The vision transformer (Dosovitskiy et al. 2021): an image as a row of patches, read out at a class token."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD_WIDTH = 64
Renaming = Sequence[tuple[str, str]]  # pattern of another library's names -> ours; None of them: dropped


@dataclass(frozen=True)
class Variant:
    """`scaled`: each branch has a factor per feature (Touvron et al. 2021); `norm_first`: tokens are normalised before
    the first block; `approximate`: the activation is x sigmoid(1.702 x), not x Phi(x)."""

    scaled: bool = False
    norm_first: bool = False
    approximate: bool = False
    eps: float = 1e-6


class VisionTransformer(nn.Module):
    """Images [n, 3, side, side] -> features [n, width]: the class token after the last block, normalised. Positions
    are interpolated (bicubic) to the patches of other sides."""

    def __init__(self, width: int, depth: int, patch: int, positions: int, variant: Variant, patch_bias: bool) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.zeros(positions, width))
        self.patch = nn.Conv2d(3, width, patch, patch, bias=patch_bias)
        self.norm_first = nn.LayerNorm(width, variant.eps) if variant.norm_first else nn.Identity()
        self.blocks = nn.Sequential(*(Block(width, variant) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, variant.eps)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x)
        side = patches.shape[-1]
        tokens = torch.cat([self.class_token.expand(len(x), 1, -1), patches.flatten(2).mT], 1)
        tokens = self.blocks(self.norm_first(tokens + self.interpolate_positions(side)))
        features: Tensor = self.norm(tokens[:, 0])
        return features

    def interpolate_positions(self, side: int) -> Tensor:
        own = round((len(self.positions) - 1) ** 0.5)
        if own == side:
            return self.positions
        grid = self.positions[1:].T.reshape(-1, own, own)
        resized = F.interpolate(grid[None], (side, side), mode="bicubic", align_corners=False)
        return torch.cat([self.positions[:1], resized[0].flatten(1).T])


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))"""

    def __init__(self, width: int, variant: Variant) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, variant.eps), nn.LayerNorm(width, variant.eps)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(width)) if variant.scaled else 1.0 for _ in range(2))
        self.approximate = variant.approximate

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale1 * self.attend(self.norm1(x))
        hidden = self.fc1(self.norm2(x))
        active = hidden * (1.702 * hidden).sigmoid() if self.approximate else F.gelu(hidden)
        added: Tensor = x + self.scale2 * self.fc2(active)
        return added

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, -1, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return mixed


def build_transformer(weights: Mapping[str, Tensor], variant: Variant) -> VisionTransformer:
    """Of the sizes that `weights`, under our names, have. Raises KeyError or ValueError where they have none."""
    width, _, patch, _ = weights["patch.weight"].shape
    depth = len({key.split(".")[1] for key in weights if key.startswith("blocks.")})
    return VisionTransformer(width, depth, patch, len(weights["positions"]), variant, "patch.bias" in weights)


def rename_weights(weights: Mapping[str, Tensor], renaming: Renaming) -> dict[str, Tensor]:
    """float32 under our names; what `renaming` does not name is dropped, and the projections q, k, v become one."""
    renamed: dict[str, Tensor] = {}
    for key, value in weights.items():
        for pattern, ours in renaming:
            if found := re.fullmatch(pattern, key):
                ours_key = found.expand(ours)
                renamed[ours_key] = _drop_batch(ours_key, value.float())
                break
    for key in [key for key in renamed if ".q." in key]:
        parts = [renamed.pop(key.replace(".q.", part), torch.empty(0)) for part in (".q.", ".k.", ".v.")]
        renamed[key.replace(".q.", ".qkv.")] = torch.cat(parts)
    return renamed


def _drop_batch(name: str, value: Tensor) -> Tensor:
    """The class token [width] and positions [tokens, width], which some libraries keep with leading axes of 1."""
    if name == "class_token":
        return value.flatten()
    return value.flatten(0, -2) if name == "positions" else value
