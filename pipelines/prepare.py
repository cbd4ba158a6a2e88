"""Stage `prepare`: read a data set, resize, split, remove duplicates, hash, write data/prepared."""

from __future__ import annotations

from pipelines.stage import PREPARED, Stage, run


def prepare(stage: Stage) -> None:
    """Make data/prepared from the source that `data` names."""
    from genlib.data import dataset

    info = dataset.prepare(stage.params.data.settings(), PREPARED)
    counts, removed = info["counts"], info["duplicates"]
    print(f"prepare: {info['name']} {info['shape']}, {counts}, duplicates {removed}, sha256 {info['sha256'][:12]}")
    with stage.tracked() as tracked:
        tracked.run.log({f"images_{part}": float(count) for part, count in counts.items()}, step=0)
        tracked.run.keep(PREPARED / "dataset.json")
        tracked.run.figure("images", dataset.load_dataset(PREPARED).train.pixels[:64], step=0)


if __name__ == "__main__":
    run("prepare", prepare)
