"""Judges whose looking is spread over workers see what they see alone."""

import pytest
import torch
from corner_images import TinyClassifier, corner_images

from genlib.data.images import MAX_CHUNK, Images
from genlib.distributed.extract_features import extract_parallel, feature_extractor
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.metrics.inputs import extract_features


@pytest.mark.parametrize("n", [1, MAX_CHUNK, 3 * MAX_CHUNK + 7])
def test_workers_see_every_image_once_and_in_order(n, ray_session):
    """A share of whole chunks: the same to 1e-6."""
    shown = corner_images(n, 0)
    alone, together = extract_features(TinyClassifier(), shown), extract_parallel(2, TinyClassifier(), shown)
    assert len(together.features) == len(together.probabilities) == n
    torch.testing.assert_close(together.features, alone.features, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.probabilities, alone.probabilities, rtol=0, atol=1e-6)
    assert torch.equal(together.pixels, shown.pixels) and torch.equal(together.labels, shown.labels)


def test_the_workers_that_are_there_are_used(ray_session):
    shown = Images(corner_images(2 * MAX_CHUNK, 1).pixels)
    with feature_extractor(ray_session + 5) as by:
        seen = CachedExtractor(TinyClassifier(), extract=by)(shown)
    torch.testing.assert_close(seen.features, extract_features(TinyClassifier(), shown).features, rtol=0, atol=1e-6)
    assert seen.labels is None
