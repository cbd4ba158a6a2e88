"""What every stage shares: where files lie, how a run is tracked, how a wrong input ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from genlib.errors import guarded, unknown
from genlib.files import file_sha256, read_json
from genlib.params import Params, load_params

if TYPE_CHECKING:
    from genlib.tracking.courier import Courier
    from genlib.tracking.journal import Journal, Run, Status
    from genlib.training.fit import Job

ROOT = Path.cwd()
PREPARED = ROOT / "data" / "prepared"
STATE = ROOT / ".genlib" / "state"
VIEWS = ROOT / ".genlib" / "views"
RESUMES = "interrupted; the same command goes on from the last checkpoint"
JUDGE_A, JUDGE_B = ROOT / "runs/train/classifier", ROOT / "runs/train/scorer"


@dataclass(frozen=True)
class Stage:
    """One stage at work on one model ("" for stages of no model)."""

    name: str
    model: str
    params: Params

    @property
    def out(self) -> Path:
        """The folder of this stage's results."""
        return ROOT / "runs" / self.name / self.model

    @property
    def state(self) -> Path:
        """Where unfinished training of this stage is kept; pruned once the stage is done."""
        return STATE / self.name / self.model

    @property
    def title(self) -> str:
        return f"{self.name} {self.model}".strip()

    def job(self, **changes: Any) -> Job:
        """The training job of the model, with other values for some of its train settings."""
        from genlib.training.fit import Job, Training

        section = self.params.models[self.model]
        training = Training(**self.params.training(self.model) | changes)
        return Job(self.model, section.model, section.objective, training, PREPARED)

    @property
    def storage(self) -> str:
        """Where Ray keeps its notes: a folder, or the URL of one."""
        place = self.params.cluster.storage
        return place if "://" in place else str(ROOT / place)

    def kept(self, job: Job) -> Job:
        """`job` with its checkpoints in the folder of its digest, and marked with it."""
        digest = job.digest()
        return replace(job, state=self.state / digest, mark=digest)

    @contextmanager
    def tracked(self, digest: str = "", part: str = "") -> Iterator[Tracked]:
        """A tracked run of this stage, or of a named `part` of it.

        One that is killed or interrupted is gone on with by the next of the same `digest`.
        """
        from genlib import provenance
        from genlib.tracking.courier import Courier
        from genlib.tracking.journal import Journal

        home = provenance.home(ROOT)
        apart = "" if home == ROOT else ROOT.name  # other worktrees and copies may be at the same stage
        key = "-".join(filter(None, (self.name, self.model, digest or self.params.digest()[:16], apart)))
        journal = Journal(home / ".genlib" / "journal" / key)
        courier = Courier(home, journal.folder)
        name = " ".join(filter(None, (self.title, part, provenance.experiment())))
        tags = self.tags()
        run = journal.run("stage", name=name, experiment=self.experiment, tags=tags, params=self.logged())
        run.note("requirements.txt", provenance.environment())
        status: Status | None = "FAILED"
        try:
            yield Tracked(journal, run, courier, self.experiment, tags)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = None
            raise
        finally:
            if status:
                run.end(status)
            warning = courier.close()
            if warning:
                print(f"{self.title}: {warning}", file=sys.stderr)

    @property
    def experiment(self) -> str:
        return self.params.tracking.experiment or self.params.data.name

    def tags(self) -> dict[str, str]:
        """What ties a number to what made it."""
        from genlib import provenance

        return provenance.tags(
            ROOT,
            stage=self.name,
            model=self.model,
            params_digest=self.params.digest(),
            data_sha256=data_sha256(),
        )

    def card(self, judge: Mapping[str, Any], model: Path, n: int) -> dict[str, Any]:
        """What a number needs to be read: what made it, of what, judged by whom, on how many images."""
        from genlib.data.dataset import load_dataset

        info = load_dataset(PREPARED).info
        return {
            **{key.removeprefix("genlib."): value for key, value in self.tags().items()},
            "data": info["name"],
            "counts": info["counts"],
            "split": self.params.data.split,
            "seed": self.params.evaluate.seed,
            "n": n,
            "weights": "ema",
            "model_sha256": file_sha256(model / "model.safetensors"),
            "judge": judge,
        }

    def logged(self) -> dict[str, Any]:
        """The params that this stage's run shows."""
        values = self.params.model_dump()
        own = {self.model: values["models"][self.model]} if self.model else {}
        return {key: value for key, value in values.items() if key != "models"} | own


@dataclass(frozen=True)
class Tracked:
    """A stage's run: the run itself, the journal that further runs may be nested in, and who sends it."""

    journal: Journal
    run: Run
    courier: Courier
    experiment: str
    tags: Mapping[str, str]

    def nested(self, key: str, name: str, params: Mapping[str, Any]) -> Run:
        """A run of its own under the stage's run."""
        return self.journal.run(
            key, name=name, experiment=self.experiment, tags=self.tags, params=params, parent="stage"
        )

    def credit(self, model: Path, metrics: Mapping[str, float]) -> None:
        """What the weights in the folder `model` were found to be, told of the run that trained them too."""
        images = int(read_json(model / "config.json")["train"]["images"])
        self.run.credit(file_sha256(model / "model.safetensors"), metrics, images)


def data_sha256() -> str:
    """The content hash of the prepared data; "" before there are any."""
    from genlib.data.dataset import INFO, load_dataset

    return load_dataset(PREPARED).sha256 if (PREPARED / INFO).exists() else ""


def run(name: str, body: Callable[[Stage], None], *, models: Callable[[Params], list[str]] | None = None) -> NoReturn:
    """The entry point of a stage: `python -m pipelines.<name> [model]`; exits with 2 on a wrong input."""
    sys.exit(guarded(lambda: _enter(name, body, models), RESUMES))


def _enter(name: str, body: Callable[[Stage], None], models: Callable[[Params], list[str]] | None) -> None:
    parser = argparse.ArgumentParser(prog=f"python -m pipelines.{name}", description=body.__doc__)
    if models:
        parser.add_argument("model", help="a model of params.yaml")
    asked = parser.parse_args()
    params = load_params()
    if models and asked.model not in models(params):
        raise unknown(f"{name} {asked.model}", asked.model, models(params))
    body(Stage(name, asked.model if models else "", params))
