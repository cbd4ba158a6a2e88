"""What the inception score cannot see: sameness within a class, and images that are made to please the judge.

Four kinds of images stand before judge B, `scorer`: held-out digits; of each class the digit it is surest of, over and
over; noise; and the same noise after gradient ascent on B's probability of a class, as many images for each. The second
and the last have the higher score of the whole, for B is surer of them than of digits. The other judge, `classifier`,
is taken in by the second alone: what fools a network was made for that network.

Command: `python -m experiments.fooled [--data PATH] [--state FOLDER] [--runs FOLDER] [--figure docs/fooled.png]`, after
`make repro`, which trains the classifiers.
Cost: ten seconds of one core.
Expect: an inception score of the whole of 9.82 for digits, 9.96 for one digit a class, 1.35 for noise and 9.90 for
noise that climbed; by the other classifier that is 3.27.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.common import FinishedRows, markdown_table, new_parser, open_state
from genlib.data.dataset import load_dataset
from genlib.data.images import Images, to_float, to_pixels
from genlib.data.random import seeded_generator
from genlib.evaluation.evaluator import Evaluator
from genlib.metrics.inputs import build_inputs
from genlib.metrics.registry import get_metric
from genlib.metrics.result import MetricResult

METRICS = ("inception_score", "frechet", "kid", "precision", "recall", "coverage", "c2st")
COLUMNS = ("inception_score", "whole", "variety", "confidence", "by the other judge", *METRICS[1:])
STEPS, RATE, SURE = 300, 0.05, 0.001  # of the ascent; it ends when the mean of -log p(class) is below SURE
SHOWN = 20


def main() -> None:
    parser = new_parser(__doc__, "prepared data [data/prepared]", Path("data/prepared"))
    parser.add_argument("--runs", type=Path, default=Path("runs/train"))
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    data = load_dataset(args.data)
    evaluators = [Evaluator.from_folder(args.runs / name, data) for name in ("scorer", "classifier")]
    kinds = make_images(evaluators[0])
    with open_state(args.state) as state:
        finished = FinishedRows(state)
        rows = {
            kind: [
                {name: MetricResult.from_json(parts) for name, parts in metrics.items()}
                for metrics in finished.get(kind, evaluate, evaluators, images)
            ]
            for kind, images in kinds.items()
        }
    print(format_table(rows))
    if args.figure:
        print(draw(kinds, rows, args.figure))


def make_images(evaluator: Evaluator) -> dict[str, Images]:
    """The four kinds, as many of each as there are held-out images, at most 1,000; classes come in turn."""
    real = evaluator.real.valid[:1000]
    surest = real.probabilities.argmax(0)
    classes = torch.arange(len(real)) % len(surest)
    noise = torch.randint(256, real.pixels.shape, generator=seeded_generator("fooled"), dtype=torch.uint8)
    return {
        "digits, held out": real.images,
        "one digit a class": real[surest[classes]].images,
        "noise": Images(noise),
        "noise that climbed": Images(climb(evaluator.extractor.network, noise, classes)),
    }


def climb(classifier: nn.Module, pixels: Tensor, classes: Tensor) -> Tensor:
    """Images near `pixels`, uint8 [n, C, H, W], that the classifier is sure are of `classes` int64 [n]."""
    x = to_float(pixels).requires_grad_()
    optimizer = torch.optim.Adam([x], RATE)
    for _ in range(STEPS):
        loss = F.cross_entropy(classifier(x), classes)
        if loss < SURE:
            break
        (x.grad,) = torch.autograd.grad(loss, x)
        optimizer.step()
        x.data.clamp_(-1, 1)
    return to_pixels(x.detach())


def evaluate(evaluators: Sequence[Evaluator], images: Images) -> list[dict[str, Any]]:
    """Every metric of `images` by each classifier."""
    found = []
    for evaluator in evaluators:
        real, extractor = evaluator.real, evaluator.extractor
        inputs = build_inputs(extractor.network, real.train, real.valid, real.test, extractor(images), len(images), 0)
        found.append({name: asdict(get_metric(name)(inputs)) for name in METRICS})
    return found


def format_table(rows: Mapping[str, list[dict[str, MetricResult]]]) -> str:
    cells = []
    for name, (own, other) in rows.items():
        score = own["inception_score"]
        values = [score.value, *(score.detail[part] for part in COLUMNS[1:4]), other["inception_score"].value]
        values += [own[metric].value for metric in METRICS[1:]]
        cells.append([name, *(f"{value:.3g}" for value in values)])
    return markdown_table(["images", *COLUMNS], cells)


def draw(kinds: Mapping[str, Images], rows: Mapping[str, list[dict[str, MetricResult]]], path: Path) -> Path:
    """Some images of each kind, with their inception score and Frechet distance."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), dpi=120, layout="constrained")
    for panel, (name, made) in zip(figure.subplots(len(kinds), 1), kinds.items(), strict=True):
        strip = made.pixels[:SHOWN].permute(2, 0, 3, 1).flatten(1, 2).squeeze(-1)
        panel.imshow(strip, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        score, distance = (rows[name][0][metric].value for metric in ("inception_score", "frechet"))
        panel.set_title(f"{name}: inception score {score:.2f}, Frechet distance {distance:.2g}", loc="left", fontsize=9)
        panel.set_axis_off()
    figure.savefig(path)
    return path


if __name__ == "__main__":
    main()
