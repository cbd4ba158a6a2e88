"""`dinov2:FILE`: DINOv2 (Oquab et al. 2024), the features that agree best with people (Stein et al. 2023).

Weights: the state_dict of its authors (`dinov2_vits14_pretrain.pth`, `dinov2_vitb14_pretrain.pth`) or that of
transformers' `Dinov2Model` (`model.safetensors`), ViT-S, B or L. Features are the class token, 384, 768 or 1,024.
"""

from pathlib import Path

from genlib.evaluation.extractors.image_network import IMAGENET_MEAN, IMAGENET_STD, ImageNetwork, NoClasses
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.resizing import Resize, antialiased_bicubic
from genlib.evaluation.extractors.vision_transformer import Variant
from genlib.evaluation.extractors.weights import load_transformer, name_extractor

SIDE = 224
FILES = "dinov2_vits14_pretrain.pth, dinov2_vitb14_pretrain.pth or the model.safetensors of a Dinov2Model"
AUTHORS = (
    (r"(?:cls|class)_token", "class_token"),
    (r"pos_embed", "positions"),
    (r"patch_embed\.proj\.(\w+)", r"patch.\1"),
    (r"blocks\.(\d+)\.(norm[12])\.(\w+)", r"blocks.\1.\2.\3"),
    (r"blocks\.(\d+)\.attn\.qkv\.(\w+)", r"blocks.\1.qkv.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"blocks.\1.out.\2"),
    (r"blocks\.(\d+)\.ls([12])\.gamma", r"blocks.\1.scale\2"),
    (r"blocks\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"blocks.\1.\2.\3"),
    (r"norm\.(\w+)", r"norm.\1"),
)
TRANSFORMERS = (
    (r"embeddings\.cls_token", "class_token"),
    (r"embeddings\.position_embeddings", "positions"),
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch.\1"),
    (r"encoder\.layer\.(\d+)\.(norm[12])\.(\w+)", r"blocks.\1.\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.(?:attention\.)?(q|k|v)\w+\.(\w+)", r"blocks.\1.\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.(?:output\.dense|o_proj)\.(\w+)", r"blocks.\1.out.\2"),
    (r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.scale\2"),
    (r"encoder\.layer\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"blocks.\1.\2.\3"),
    (r"layernorm\.(\w+)", r"norm.\1"),
)


def load(argument: str) -> NamedExtractor:
    path, variant = Path(argument), Variant(scaled=True)
    renamings = {"blocks.0.norm1.weight": AUTHORS, "layernorm.weight": TRANSFORMERS}
    body, _ = load_transformer(path, renamings, variant, "DINOv2", FILES)
    resize = Resize(antialiased_bicubic, SIDE)
    network = ImageNetwork(body, NoClasses(), resize, IMAGENET_MEAN, IMAGENET_STD)
    return name_extractor(network, "dinov2", "class token", path)
