"""The most memory of an evaluation, over what it may take: images are read a piece at a time, whatever their number.

`python -m benchmarks.memory [--share S]`: 200,000 prepared images of 32 x 32 in colour (0.6 GB) by a classifier, within
1.5 GiB, and two folders of 10,000 JPEGs of 256 x 256 (3.9 GB of pixels) by components of pixels, within 2 GiB. Each in
a process of its own, imports and weights included. S: of so many of the images only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.alone import IsolatedWork
from benchmarks.results import record
from benchmarks.streaming import IMAGES, write_noise_dataset

PREPARED_MIB, FOLDERS_MIB = 1536, 2048
FILES, DIFFERENT_FILES, SIDE = 10_000, 500, 256
SAMPLES = 2000
METRICS = ["kid", "precision", "copies", "copying", "support", "sharpness", "membership_auc"]
FOLDER_METRICS = ["kid", "precision", "sharpness"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the images [1]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = write_noise_dataset(Path(folder) / "data", int(asked.share * IMAGES))
        compare("200,000 prepared images of 32 px", PREPARED_MIB, IsolatedWork(prepare_dataset, evaluate_model, data))
        for name in ("real", "fake"):
            write_jpegs(Path(folder) / name, int(asked.share * FILES))
        work = IsolatedWork(prepare_folders, evaluate_folders, Path(folder))
        compare("2 x 10,000 files of 256 px", FOLDERS_MIB, work)


def compare(name: str, mib: int, process: IsolatedWork) -> None:
    with process as work:
        done = work()
    detail = {"MiB": done.peak, "MiB_before": done.before, "seconds": round(done.seconds, 1), "values": done.value}
    record(f"memory: peak of the evaluation of {name} / {mib} MiB", done.peak / mib, 1.0, at_least=False, detail=detail)


def write_jpegs(folder: Path, count: int) -> None:
    """So many files of noise, some of which are others by another name."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    draw = np.random.default_rng(len(folder.name))
    for row in range(count):
        path = folder / f"{row}.jpg"
        if row < DIFFERENT_FILES:
            small = Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            small.resize((SIDE, SIDE)).save(path, quality=85)
        else:
            os.link(folder / f"{row % DIFFERENT_FILES}.jpg", path)


def prepare_dataset(work: object, data: Path) -> tuple[Path]:
    import genlib.evaluation.evaluator  # noqa: F401 imported before the work, as in a stage

    return (data,)


def evaluate_model(data: Path) -> dict[str, float | None]:
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evaluator import CachedExtractor, Evaluator, RealFeatures, compute_applicable_metrics
    from genlib.registry import build

    dataset = load_dataset(data)
    classifier = build("models", {"name": "resnet_classifier", "width": 16}, dataset.shape, 10)
    extractor = CachedExtractor(classifier, data / "views")
    evaluator = Evaluator(extractor, dataset, RealFeatures.extract(extractor, dataset), {})
    model = build("models", {"name": "gan", "latent": 16, "width": 8}, dataset.shape, 10)
    results = compute_applicable_metrics(evaluator.test_inputs(model, SAMPLES, 0), METRICS)
    return {name: result.value for name, result in results.items()}


def prepare_folders(work: object, folder: Path) -> tuple[Path]:
    import genlib.evaluation.image_sets  # noqa: F401

    return (folder,)


def evaluate_folders(folder: Path) -> dict[str, float | None]:
    from genlib.data.image_sets import read_image_set
    from genlib.evaluation.image_sets import prepare_evaluation

    sets = {name: read_image_set(folder / name, f"--{name}") for name in ("real", "fake")}
    evaluation = prepare_evaluation(sets)
    found = evaluation.iter_results(FOLDER_METRICS, evaluation.calibrate(FOLDER_METRICS))
    return {name: result.value for name, result in found}


if __name__ == "__main__":
    main()
