"""`inception_clean:FILE`: the FID network as in clean-fid, which resizes as Pillow does, bicubic and antialiased."""

from genlib.evaluation.extractors.inception import load_inception
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.resizing import antialiased_bicubic


def load(argument: str) -> NamedExtractor:
    return load_inception(argument, "inception_clean", antialiased_bicubic)
