"""Validate the params, the data they name and the tracking address.

`python -m pipelines.check [--data PATH] [--preset NAME] [--set key=value ...] [--tune MODEL]` lays images of one's own,
a preset and single values over params.yaml, validates the result, and only then writes it. Exits with 2 and a line for
each error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib import provenance
from genlib.data.catalog import find_domains
from genlib.errors import MissingDataError, Refusals, run_cli, unknown_name
from genlib.files import write_text
from genlib.metrics.registry import check_metric_names
from genlib.migration import require_current_names
from genlib.params import PARAMS, Params, flatten_dotted, parse_params, read_yaml
from genlib.tracking.address import require_driver, tracking_uri
from pipelines.model_checks import DataSpec, check_models_once, remember_checked, warn_of_gray_likelihoods
from pipelines.params_file import lay_params, load_preset, parse_assignments, update_params_file
from pipelines.preflight import check_cluster, check_machine
from pipelines.raw import has_pulled_results
from pipelines.repro_command import record_command
from pipelines.stage import PREPARED_DIR, ROOT

if TYPE_CHECKING:
    from pipelines.own_data import OwnData

RATINGS, RUNS = Path("data/ratings"), Path("runs")
RATING_COLUMNS = "rater,item,answer,truth,seconds,time\n"


def check(preset: str | None, assignments: list[str], tuned_model: str | None = None, data: str | None = None) -> None:
    """Validate params.yaml with the images at `data`, a preset and single values laid over it, and write it if they
    change it."""
    values, before = read_yaml(PARAMS), PARAMS.read_bytes()
    changes = load_preset(preset), parse_assignments(assignments)
    for where, change in zip((f"presets/{preset}.yaml", "SET"), changes, strict=True):
        require_current_names(change, where)  # also where a null would remove what is not there
    own = _find_own_data(data) if data else None
    new_values = own.lay(values, *changes) if own else lay_params(values, *changes)
    params, refusals, notes = _parse(new_values, own), Refusals(), [*own.notes] if own else []
    with refusals.collect():
        _check_names(params, tuned_model)
    with refusals.collect():
        _check_surroundings(params)
    with refusals.collect():
        data_spec, more = _find_data(params, new_values["data"])
        notes += more
        if own:
            from pipelines.own_data import fit_to_data

            given = map(flatten_dotted, changes)
            new_values, more = fit_to_data(new_values, own.lay(values, {}, {}), data_spec, *given)
            params, notes = parse_params(new_values), notes + more
        with refusals.collect():
            check_models_once(params, data_spec)
    refusals.raise_all()
    remember_checked(params, data_spec)
    print(*notes, sep="\n", end="\n" if notes else "")
    warn_of_gray_likelihoods(params, data_spec)
    if new_values != values:
        update_params_file(new_values)
        record_command(Path(), before, preset, assignments, data)
    _prepare_folders(params)


def _find_own_data(data: str) -> OwnData:
    """Apart, since it imports torch, which takes longer than all else of a check."""
    from pipelines.own_data import OwnData

    return OwnData.find(data)


def _parse(values: Mapping[str, Any], own: OwnData | None) -> Params:
    refusals = Refusals()
    with refusals.collect():
        return parse_params(values)
    if own and own.refusal:
        refusals.errors.append(own.refusal)
    raise refusals.all_at_once()


def _find_data(params: Params, data_params: Mapping[str, Any]) -> tuple[DataSpec, list[str]]:
    """The data, and what is to be said of them; pulled ones that are prepared are enough without the raw ones."""
    config = params.data.to_config()
    try:
        domains = find_domains(config)
    except MissingDataError as error:
        if not has_pulled_results(config, data_params):
            raise
        return DataSpec.from_prepared(PREPARED_DIR), [f"{error}; the prepared data stay as they were pulled"]
    return DataSpec.from_domains(domains), [note for source, _ in domains for note in source.notes]


def _check_names(params: Params, tuned_model: str | None) -> None:
    """The model that is to be tuned, and all metrics."""
    refusals, tune = Refusals(), params.tune
    if tuned_model and tuned_model not in tune.models:
        refusals.errors.append(unknown_name("MODEL", tuned_model, tune.models))
    keys = {"evaluate.metrics": params.evaluate.metrics, "tune.constraints": [*tune.constraints]}
    keys |= {f"tune.{key}": [getattr(tune, key)] for key in ("metric", "second_metric")}
    for key, names in keys.items():
        with refusals.collect():
            check_metric_names(names, f"params.yaml: {key}")
    refusals.raise_all()


def _check_surroundings(params: Params) -> None:
    """The address of tracking, this machine and, where there is one, the cluster."""
    require_driver(tracking_uri(provenance.main_worktree(ROOT)))
    check_machine(ROOT)
    check_cluster(params.ray.storage_path)


def _prepare_folders(params: Params) -> None:
    """The folders of the stages, and a file for people's answers to each model."""
    for stage in ("train", "tune", "evaluate", "compare"):
        (RUNS / stage).mkdir(parents=True, exist_ok=True)
    for model in params.models:
        if not (RATINGS / f"{model}.csv").exists():
            write_text(RATING_COLUMNS, RATINGS / f"{model}.csv")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.check", description=check.__doc__)
    parser.add_argument("--data", metavar="PATH", help="a folder of images or of Parquet files, or a URL of one")
    parser.add_argument("--preset", metavar="NAME", help="a file of presets/, without .yaml")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="*", default=[], help="single values by dotted key")
    parser.add_argument("--tune", metavar="MODEL", help="a model that is to be tuned, one of tune.models")
    asked = parser.parse_args()
    sys.exit(run_cli(lambda: check(asked.preset, asked.set, asked.tune, asked.data)))


if __name__ == "__main__":
    main()
