"""Stage `prepare`: read a data set, resize, split, remove duplicates, hash, write data/prepared."""

from pipelines.stage import PREPARED_DIR, Stage, run_stage


def prepare(stage: Stage) -> None:
    """Make data/prepared from the source that `data` names."""
    from genlib.data import dataset

    dataset.prepare(stage.params.data.to_config(), PREPARED_DIR)
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


if __name__ == "__main__":
    run_stage("prepare", prepare)
