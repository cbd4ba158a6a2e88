"""`inception_pytorch_fid:FILE`: the FID network as in pytorch-fid, which resizes as torch does, not antialiased."""

from genlib.evaluation.extractors.inception import load_inception
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.resizing import half_pixel_bilinear


def load(argument: str) -> NamedExtractor:
    return load_inception(argument, "inception_pytorch_fid", half_pixel_bilinear, level=1 / 2)
