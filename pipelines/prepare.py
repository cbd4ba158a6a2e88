"""Stage `prepare`: read a data set, resize, split, remove duplicates, hash, write data/prepared."""

from collections.abc import Mapping
from typing import Any

from pipelines.stage import PREPARED_DIR, Stage, run_stage


def prepare(stage: Stage) -> None:
    """Make data/prepared from the source that `data` names."""
    from genlib.data import dataset

    dataset.prepare(stage.params.data.to_config(), PREPARED_DIR)
    first = dataset.load_dataset(PREPARED_DIR)
    domains = {"": first, "_other": first.domain_b} if first.domain_b else {"": first}
    with stage.start_run() as run:
        for end, domain in domains.items():
            print(f"prepare: {_format_summary(domain.info)}")
            run.log({f"images_{part}{end}": float(n) for part, n in domain.info["counts"].items()}, step=0)
            run.log_images(f"images{end}", domain.train.pixels[:64], step=0)
        run.log_artifact(PREPARED_DIR / "dataset.json")


def _format_summary(info: Mapping[str, Any]) -> str:
    """One domain in a line."""
    return (
        f"{info['name']} {info['shape']}, {info['counts']}, duplicates {info['duplicates']}, "
        f"sha256 {info['sha256'][:12]}"
    )


if __name__ == "__main__":
    run_stage("prepare", prepare)
