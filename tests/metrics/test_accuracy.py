"""The accuracy of a classifier that is a model."""

from corner_images import TinyClassifier, corner_images

from genlib.data.images import Images
from genlib.evaluation.runner import compute_metrics
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import build_inputs, extract_features


def test_accuracy_is_of_the_model_on_all_test_images():
    model = TinyClassifier()
    sets = [corner_images(size, seed) for seed, size in enumerate((300, 150, 140))]
    e = build_inputs(TinyClassifier(), *sets, None, 100, 0, model=model)
    found = compute_metrics(e, ["accuracy", "kid"])
    seen = extract_features(model, sets[2])
    assert found["accuracy"].value == float((seen.predicted_classes == sets[2].labels).double().mean())
    assert found["accuracy"].n == 140 and found["accuracy"].null is None
    assert found["accuracy"].low <= found["accuracy"].value <= found["accuracy"].high
    assert "reason" in found["accuracy"].detail["null"]
    assert found["kid"].detail["reason"] == "this model makes no images"
    assert compute_accuracy(e.test).n == 140


def test_accuracy_without_labels_or_classifier_gives_the_reason():
    bare = [Images(corner_images(size, seed).pixels) for seed, size in enumerate((300, 150, 140, 200))]
    for model, reason in ((TinyClassifier(), "the data have no labels"), (object(), "this model does not classify")):
        inputs = build_inputs(TinyClassifier(), *bare, 100, 0, model=model)
        assert compute_metrics(inputs, ["accuracy"])["accuracy"].detail["reason"] == reason
