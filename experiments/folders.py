"""Size and power of the verdicts of `genlib evaluate` with its default extractor, on MNIST and on CIFAR-10.

A replicate draws 2,000 images as `--real`, of which the command makes two halves, and has 5,000 others as `--train`;
it then judges 1,000 independent images, with or without a planted fault. The extractor is the command's own: principal
components of the training images' pixels. What is called here is what the command calls.

Command: `python -m experiments.folders --data PATH [--state FOLDER] [--name mnist cifar10] [--replicates 5]`; PATH
holds the files of MNIST and a folder `cifar10_jpeg` of Parquet.
Cost: 6 minutes of one core a replicate; `--state` goes on.
Expect: false alarms near 5 % for each question, and the faults found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.calibration import COLUMNS, Families, Population, judge_generators, summarize
from experiments.common import FinishedRows, markdown_table, new_parser, open_data, open_state
from genlib.data.config import DataConfig
from genlib.data.image_sets import ImageSet
from genlib.data.images import StoredImages
from genlib.data.random import seeded_generator
from genlib.evaluation.extractors.pca import MAX_COMPONENTS, Pca
from genlib.evaluation.image_sets import prepare_evaluation

CIFAR = "cifar10_jpeg"  # the folder of its Parquet files
N, TRAIN, POPULATION = 1000, 5000, 20_000
FAMILIES: Families = {
    "5 % noise": ("noise", 0.05),
    "8 % noise": ("noise", 0.08),
    "10 % noise": ("noise", 0.1),
    "20 % blurred": ("blur", 0.2),
    "40 % blurred": ("blur", 0.4),
    "all blurred": ("blur", 1.0),
    "2 % of all pixels salt": ("salt", 1.0),
    "2 % copies": ("copies", 0.02),
    "4 % copies": ("copies", 0.04),
    "20 % one image": ("one", 0.2),
    "all one image": ("one", 1.0),
}


def open_images(name: str, data: Path, state: Path) -> tuple[StoredImages, StoredImages]:
    """Training images and the population."""
    config = DataConfig("mnist", root=data) if name == "mnist" else DataConfig("parquet", root=data / CIFAR)
    images = open_data(None, config, state / name).open_split("train")
    order = torch.randperm(len(images), generator=seeded_generator(0, "order"))
    return images[order[:TRAIN]], images[order[TRAIN : TRAIN + POPULATION]]


def _is_there(name: str, data: Path) -> bool:
    is_there = name == "mnist" or (data / CIFAR).is_dir()
    if not is_there:
        print(f"{name}: left out, got no {data / CIFAR}")
    return is_there


def as_image_set(images: StoredImages) -> ImageSet:
    assert images.labels is not None
    return ImageSet("folder", images.pixels[:], images.labels.tolist(), tuple(map(str, range(10))))


def run_replicate(population: Population, train: ImageSet, real: StoredImages, seed: int) -> dict[str, Any]:
    g = seeded_generator(seed, "replicate")
    order = torch.randperm(len(real), generator=g)
    chosen, rest = order[: 2 * N], order[2 * N :]
    sets = {"real": as_image_set(real[chosen]), "fake": as_image_set(real[rest[:N]]), "train": train}
    evaluation = prepare_evaluation(sets)
    _check_features(population, evaluation.inputs.valid.features, evaluation.extract(real[rest[:5]]).features, rest)
    return judge_generators(population, evaluation.inputs, evaluation.calibrate(), rest, FAMILIES, g)


def _check_features(population: Population, valid: Tensor, mine: Tensor, rest: Tensor) -> None:
    """The command's extractor is that of the population, whose features are computed once."""
    assert valid.shape[1] == mine.shape[1]
    torch.testing.assert_close(mine, population.real.features[rest[: len(mine)]], rtol=1e-4, atol=1e-4)


def main() -> None:
    parser = new_parser(__doc__, "the files of MNIST, and the folder cifar10_jpeg")
    parser.add_argument("--name", nargs="+", default=["mnist", "cifar10"])
    parser.add_argument("--replicates", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open_state(args.state) as state:
        for name in (each for each in args.name if _is_there(each, args.data)):
            train, real = open_images(name, args.data, state)
            population = Population(Pca(train, components=MAX_COMPONENTS), train, real)
            finished, train_set = FinishedRows(state / name), as_image_set(train)
            rows = [
                finished.get(str(seed), run_replicate, population, train_set, real, seed)
                for seed in range(args.replicates)
            ]
            print(f"{name}: found with power 0.9:", [row["detectable"] for row in rows])
            print(markdown_table(COLUMNS, list(summarize(N, rows)), 2), flush=True)


if __name__ == "__main__":
    main()
