"""`clip:FILE`: the image encoder of CLIP (Radford et al. 2021).

Weights: the state_dict of transformers' `CLIPModel` or `CLIPVisionModelWithProjection` (`model.safetensors`), or of
OpenAI's `ViT-B-32.pt`. Features are the projection into the space shared with texts, 512 for ViT-B/32.
"""

from pathlib import Path

from torch import nn

from genlib.errors import InputError
from genlib.evaluation.extractors.image_network import ImageNetwork, NoClasses
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.resizing import Resize, antialiased_bicubic
from genlib.evaluation.extractors.vision_transformer import Variant
from genlib.evaluation.extractors.weights import fill_network, load_transformer, name_extractor

SIDE = 224
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
FILES = "the model.safetensors of a CLIPModel, or the state_dict of ViT-B-32.pt"
OPENAI = (
    (r"visual\.class_embedding", "class_token"),
    (r"visual\.positional_embedding", "positions"),
    (r"visual\.conv1\.weight", "patch.weight"),
    (r"visual\.ln_pre\.(\w+)", r"norm_first.\1"),
    (r"visual\.transformer\.resblocks\.(\d+)\.ln_([12])\.(\w+)", r"blocks.\1.norm\2.\3"),
    (r"visual\.transformer\.resblocks\.(\d+)\.attn\.in_proj_(\w+)", r"blocks.\1.qkv.\2"),
    (r"visual\.transformer\.resblocks\.(\d+)\.attn\.out_proj\.(\w+)", r"blocks.\1.out.\2"),
    (r"visual\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.(\w+)", r"blocks.\1.fc1.\2"),
    (r"visual\.transformer\.resblocks\.(\d+)\.mlp\.c_proj\.(\w+)", r"blocks.\1.fc2.\2"),
    (r"visual\.ln_post\.(\w+)", r"norm.\1"),
    (r"visual\.proj", "projection_transposed"),
)
TRANSFORMERS = (
    (r"vision_model\.embeddings\.class_embedding", "class_token"),
    (r"vision_model\.embeddings\.position_embedding\.weight", "positions"),
    (r"vision_model\.embeddings\.patch_embedding\.weight", "patch.weight"),
    (r"vision_model\.pre_layrnorm\.(\w+)", r"norm_first.\1"),
    (r"vision_model\.encoder\.layers\.(\d+)\.layer_norm([12])\.(\w+)", r"blocks.\1.norm\2.\3"),
    (r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.(q|k|v)_proj\.(\w+)", r"blocks.\1.\2.\3"),
    (r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)", r"blocks.\1.out.\2"),
    (r"vision_model\.encoder\.layers\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"blocks.\1.\2.\3"),
    (r"vision_model\.post_layernorm\.(\w+)", r"norm.\1"),
    (r"visual_projection\.weight", "projection"),
)


def load(argument: str) -> NamedExtractor:
    path, variant = Path(argument), Variant(norm_first=True, approximate=True, eps=1e-5)
    renamings = {"visual.class_embedding": OPENAI, "vision_model.embeddings.class_embedding": TRANSFORMERS}
    transformer, further = load_transformer(path, renamings, variant, "CLIP", FILES)
    if not further:
        raise InputError(f"{path}: got weights of CLIP without a projection, expected {FILES}")
    weight = further["projection"] if "projection" in further else further["projection_transposed"].T
    projection = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    fill_network(projection, {"weight": weight}, path, "CLIP", FILES)
    body, resize = nn.Sequential(transformer, projection), Resize(antialiased_bicubic, SIDE)
    return name_extractor(ImageNetwork(body, NoClasses(), resize, MEAN, STD), "clip", "projection", path)
