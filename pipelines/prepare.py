"""Stage `prepare`: read a data set, resize, split, remove duplicates, hash, write data/prepared.

What decodes images are processes that import this file, so that its top imports little.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from genlib.data.config import DataConfig, MapFunction
from genlib.data.processes import available_cpus, map_in_processes, map_patiently

if TYPE_CHECKING:
    from pipelines.stage import Stage


def prepare(stage: Stage) -> None:
    """Make data/prepared from the source that `data` names."""
    from dataclasses import replace

    from genlib.data import dataset
    from pipelines.raw import read_raw_sha256, update_raw
    from pipelines.stage import PREPARED_DIR

    config = stage.params.data.to_config()
    config = replace(config, map_chunks=choose_map(config, stage.params.data.workers))
    dataset.prepare(config, PREPARED_DIR, read_raw_sha256(config) or update_raw(config))
    first = dataset.load_dataset(PREPARED_DIR)
    domains = {"": first, "_other": first.domain_b} if first.domain_b else {"": first}
    with stage.start_run() as run:
        for end, domain in domains.items():
            info = domain.info
            about = f"{info['name']} {info['shape']}, {info['counts']}, duplicates {info['duplicates']}"
            print(f"prepare: {about}, sha256 {info['sha256'][:12]}")
            run.log({f"images_{part}{end}": float(n) for part, n in info["counts"].items()}, step=0)
            run.log_images(f"images{end}", domain.train.pixels[:64], step=0)
        run.log_artifact(PREPARED_DIR / "dataset.json")


def choose_map(config: DataConfig, workers: int | None) -> MapFunction:
    """Who decodes images: this process, processes beside it, or tasks of the cluster that `RAY_ADDRESS` names."""
    from genlib.distributed.map_tasks import map_on_cluster
    from genlib.distributed.session import LOCAL_ADDRESSES

    if workers in (0, 1):
        return map
    if os.environ.get("RAY_ADDRESS", "") not in LOCAL_ADDRESSES:
        second = config.for_domain_b()
        roots = [each.root for each in (config, second) if each]
        seen = [root.resolve() for root in roots if isinstance(root, Path)]
        return partial(map_patiently, partial(map_on_cluster, workers, seen))
    return partial(map_patiently, partial(map_in_processes, workers or available_cpus()))


if __name__ == "__main__":
    from pipelines.stage import run_stage

    run_stage("prepare", prepare)
