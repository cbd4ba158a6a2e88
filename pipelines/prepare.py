"""Stage `prepare`: read a data set, resize, split, remove duplicates, hash, write data/prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.stage import PREPARED, Stage, run


def prepare(stage: Stage) -> None:
    """Make data/prepared from the source that `data` names."""
    from genlib.data import dataset

    dataset.prepare(stage.params.data.settings(), PREPARED)
    first = dataset.load_dataset(PREPARED)
    domains = {"": first, "_other": first.other} if first.other else {"": first}
    with stage.tracked() as tracked:
        for end, domain in domains.items():
            print(f"prepare: {_line(domain.info)}")
            tracked.run.log({f"images_{part}{end}": float(n) for part, n in domain.info["counts"].items()}, step=0)
            tracked.run.figure(f"images{end}", domain.train.pixels[:64], step=0)
        tracked.run.keep(PREPARED / "dataset.json")


def _line(info: Mapping[str, Any]) -> str:
    """One domain in a line."""
    return (
        f"{info['name']} {info['shape']}, {info['counts']}, duplicates {info['duplicates']}, "
        f"sha256 {info['sha256'][:12]}"
    )


if __name__ == "__main__":
    run("prepare", prepare)
