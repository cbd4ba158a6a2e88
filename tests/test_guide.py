"""The examples of docs/guide.md, put into a copy of the project and run: one file or function each, nothing else."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from documents import copied, run
from documents import example as of_page
from torch import nn

from genlib.objectives import model_loss


def example(file):
    return of_page("guide.md", file)


FLOW, ENTRY = example("genlib/models/flow.py"), example("params.yaml")


@pytest.fixture(scope="module")
def with_a_model(tmp_path_factory):
    project = copied(tmp_path_factory.mktemp("model"))
    (project / "genlib/models/flow.py").write_text(FLOW)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("models:\n", f"models:\n{ENTRY}", 1))
    return project


@pytest.fixture(scope="module")
def with_the_rest(tmp_path_factory):
    """A copy with the guide's loss, metric and data set."""
    project = copied(tmp_path_factory.mktemp("rest"))
    for file in ("genlib/objectives/denoising.py", "genlib/metrics/contrast.py"):
        (project / file).write_text(example(file))
    sources = project / "genlib/data/sources.py"
    sources.write_text(f"{sources.read_text()}\n\n{example('genlib/data/sources.py')}")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (60, 1, 9, 12), dtype=np.uint8)
    np.savez(project / "data/images.npz", pixels=pixels, labels=np.arange(60) % 10)
    return project


def test_the_model_is_short():
    assert len(FLOW.splitlines()) < 120


def test_the_check_passes_and_dvc_grows_the_models_stages(with_a_model):
    run(with_a_model, sys.executable, "-m", "pipelines.check")
    stages = {line.split()[0] for line in run(with_a_model, "dvc", "stage", "list").splitlines()}
    assert {"train@flow", "evaluate@flow"} <= stages


TRAIN = """
import sys, torch, genlib
from dataclasses import replace
from pathlib import Path
from genlib.data.dataset import load_dataset, prepare
from genlib.data.images import to_float
from genlib.data.config import DataConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model
from genlib.params import load_params

root = Path(sys.argv[1])
assert Path(genlib.__file__).is_relative_to(root)
prepare(DataConfig(name="digits"), root / "data/prepared")
entry = load_params().models["flow"]
config = replace(load_params().train_config("flow"), total_images=1024, batch_size=16, report_every=512)
model = {**entry.model, "width": 8, "blocks": 1, "steps": 4}
job = TrainingJob("flow", model, entry.objective, config, load_dataset(root / "data/prepared"), root / "state")
*_, first, last = [progress for progress in fit(job)]
assert last.is_done and last.metrics["loss"] < 0.9 * first.metrics["loss"], (first.metrics, last.metrics)
save_model(job, root / "flow")
flow = genlib.load(root / "flow")
images = flow.sample(5, seed=1)
assert images.shape == (5, 1, 8, 8) and images.abs().max() <= 1 and not images.requires_grad
torch.testing.assert_close(images, last.model.sample(5, seed=1), rtol=0, atol=1e-3)
x = to_float(load_dataset(root / "data/prepared").test[:8].pixels)
with torch.no_grad():
    error = (flow.decode_image(flow.encode_mean(x)) - x).square().mean()
assert error < 0.02, error
"""


def test_the_model_trains_samples_and_loads(with_a_model):
    run(with_a_model, sys.executable, "-c", TRAIN, str(with_a_model))


USE = """
import sys, genlib
from pathlib import Path
from prepared import job
from genlib.data.dataset import load_dataset, prepare
from genlib.data.config import DataConfig
from genlib.evaluation.evaluator import Evaluator, compute_applicable_metrics
from genlib.training.fit import fit
from genlib.training.job import save_model
from genlib.errors import InputError
from dataclasses import replace
from pipelines.check import check

root = Path(sys.argv[1])
prepare(DataConfig(name="arrays", root=root / "data"), root / "own")
assert load_dataset(root / "own").shape == (1, 9, 12)
prepare(DataConfig(name="digits"), root / "digits")
vae, scorer = (job(name, root / "digits", root / "state" / name, total_images=640) for name in ("vae", "scorer"))
vae = replace(vae, objective={"name": "denoising", "noise": 0.1})
for each in (vae, scorer):
    rows = list(fit(each))
    save_model(each, root / each.name)
errors = [row["error"] for row in (progress.metrics for progress in fit(vae)) if row]
assert errors[-1] < errors[0], errors
try:
    list(fit(replace(scorer, objective=vae.objective, checkpoint_dir=None)))
    raise AssertionError("a judge was trained to denoise")
except InputError as error:
    assert "expected a model with reconstruct" in str(error)
evaluator = Evaluator.from_folder(root / "scorer", load_dataset(root / "digits"))
found = compute_applicable_metrics(evaluator.test_inputs(genlib.load(root / "vae"), 200, 0), ["contrast"])["contrast"]
own = f"models.vae.objective={vae.objective}"
check(None, ["data.name=arrays", "data.root=data", "evaluate.metrics=[contrast]", own])
assert 0 < found.low <= found.value <= found.high < 0.5 and 0.2 < found.null < 0.5, found
"""


def test_a_loss_a_metric_and_a_data_set_are_one_function_each(with_the_rest):
    run(with_the_rest, sys.executable, "-c", USE, str(with_the_rest))


def test_a_model_without_a_loss_of_its_own_is_refused():
    with pytest.raises(ValueError, match="got Linear, expected a model with loss"):
        model_loss.Build().phases(nn.Linear(1, 1))
