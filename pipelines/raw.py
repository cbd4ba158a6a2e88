"""Stage `raw`: what the data are read from, in data/raw.json, which `prepare` depends on.

DVC runs it always, and `make repro` does the same in its own process: where a file below `data.root` was changed, added
or removed, the content of data/raw.json is another, and `prepare` is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlib.data.config import DataConfig
from genlib.data.raw import describe_place, describe_raw
from genlib.errors import InputError, MissingDataError
from genlib.files import read_checked_json, with_checksum, write_json
from genlib.params import read_yaml
from pipelines.stage import PREPARED_DIR, ROOT, Stage, run_stage

RAW, HASHES = ROOT / "data/raw.json", ROOT / ".genlib/raw_files.json"
HINT = "run the `raw` stage"


def raw(stage: Stage) -> None:
    """Bring data/raw.json up to date."""
    update_raw(stage.params.data.to_config())


def update_raw(config: DataConfig) -> str:
    """Bring data/raw.json up to date, and return its hash. Where there are no files, one that was pulled stays.

    Raises:
        MissingDataError: there are no files, and data/raw.json is of others.
    """
    try:
        found = with_checksum(describe_raw(config, HASHES))
    except MissingDataError as error:
        if (pulled := read_raw_sha256(config)) is None:
            raise
        print(f"{error}; what was pulled stays")
        return pulled
    if not RAW.exists() or read_checked_json(RAW, HINT) != found:
        write_json(found, RAW)
    return str(found["sha256"])


def has_pulled_results(config: DataConfig, data_params: Mapping[str, Any]) -> bool:
    """Whether data/prepared is what `prepare` made with the params `data` from files that are not on this machine."""
    from genlib.data.dataset import RAW_KEY, load_dataset

    if (pulled := read_raw_sha256(config)) is None or not (ROOT / "dvc.lock").exists():
        return False
    stages = read_yaml(ROOT / "dvc.lock").get("stages", {})
    try:
        prepared = load_dataset(PREPARED_DIR).info
    except InputError:
        return False
    if "prepare" not in stages or prepared.get(RAW_KEY) != pulled:
        return False
    return bool(stages["prepare"]["params"]["params.yaml"]["data"] == data_params)


def read_raw_sha256(config: DataConfig) -> str | None:
    """The hash in data/raw.json where that is of the sources that `config` names."""
    if not RAW.exists():
        return None
    found = read_checked_json(RAW, HINT)
    place = [{key: each[key] for key in ("name", "root")} for each in found["domains"]]
    return str(found["sha256"]) if place == describe_place(config) else None


if __name__ == "__main__":
    run_stage("raw", raw)
