"""The tables of the pages are what the files in docs/results say, and say so where the code is another by now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from report_tree import controlled, measure, undefined, write, write_dataset, write_train

from genlib.errors import InputError
from genlib.params import read_yaml
from pipelines.code_digest import UNKNOWN, code_digest, list_code
from pipelines.results import BLOCK, PAGES, RECORDS, record_results, update_results
from pipelines.results_tables import format_metrics, format_overview

ROOT = Path(__file__).parents[2]
ENTRIES = read_yaml(ROOT / "params.yaml")["models"]
MODELS = ("gan", "vae")
PAGE = "# A page\n\n<!-- results: overview digits -->\n<!-- end of results -->\n\nWords.\n\n{}\n"
TABLE = "<!-- results: metrics digits -->\n<!-- end of results -->"
OLD = {"real_looking": {"question": "Real-looking?", "answer": "nearly", "sentence": "s", "figure": "samples"}}
NEW = {
    "realistic": {"question": "Realistic?", "answer": "cannot tell", "share": None, "detectable": {"noise": 0.08}},
    "diverse": {"question": "Diverse?", "answer": "yes", "share": [0.0, 0.1], "p": 0.4},
}
MISSED = "noise get 1.03 and real images 0.97"


@pytest.fixture
def copy(tmp_path):
    """A copy of the pages, of their files and of the code."""
    for name in ("genlib", "pipelines", "docs/results"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", *PAGES):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def project(copy):
    """The copy with two evaluated models, no other results, and two pages of its own."""
    shutil.rmtree(copy / RECORDS)
    (copy / "README.md").write_text(PAGE.format(""))
    (copy / "docs/results.md").write_text(PAGE.format(TABLE))
    write_dataset(copy)
    for model in MODELS:
        write_train(copy, model, "images_seen\tloss\n")
        evaluate(copy, model, OLD)
    return copy


def evaluate(root, model, verdicts, **card):
    """What the stage writes, of this code."""
    metrics = {
        "coverage": measure(0.75, 0.04, 0.96),
        "density": controlled(measure(1.2, 0.1, 0.97), MISSED),
        "support": undefined("too few images"),
        "frechet": measure(9.8, 0.1),  # without a baseline, for a reason that no cell refers to
    }
    origin = {"commit": "c" * 40, "dirty": "false", "processor": "a processor", "n": 359, "data_sha256": "d" * 64}
    origin["code"] = code_digest(root, model, ENTRIES)
    content = {"metrics": metrics, "verdicts": verdicts, "card": origin | card}
    write(root / f"runs/evaluate/{model}/metrics.json", content)


def pages(root):
    return [(root / page).read_text() for page in PAGES]


def test_the_pages_hold_what_make_results_writes(copy):
    """Where this fails, code has changed that gave the numbers: `make results` marks them."""
    before = pages(copy)
    update_results(copy)
    assert pages(copy) == before
    assert {name for page in before for _, _, name, _ in BLOCK.findall(page)} >= {
        path.stem for path in (copy / RECORDS).glob("*.json")
    }


def test_what_is_recorded_stands_in_the_tables_and_stays(project):
    update_results(project, record=True)
    readme, results = pages(project)
    for page in (readme, results):
        assert "`gan`" in page and "*stale*" not in page and "**0.750** (0.710 to 0.790)" in page
        assert "seed 3, commit ccccccc, a processor" in page and "n = 359" in page
        assert page.startswith("# A page\n\n") and "\nWords.\n" in page
    assert "~~1.20~~ (1.10 to 1.30) [1]" in results and f"to be believed: {MISSED}" in results
    assert "too few images" in results and "| coverage |" in results and "0.960 (0.940 to 0.980)" in results
    record_results(project)
    update_results(project)
    assert pages(project) == [readme, results]


@pytest.mark.parametrize(("verdicts", "expected"), [(OLD, {"nearly"}), (NEW, {"cannot tell", "yes"})])
def test_verdicts_of_either_form_are_read(project, verdicts, expected):
    evaluate(project, "gan", verdicts)
    evaluate(project, "vae", {})
    update_results(project, record=True)
    kept = json.loads((project / RECORDS / "digits.json").read_text())["models"]["gan"]["verdicts"]
    assert {verdict["answer"] for verdict in kept.values()} == expected
    for page in pages(project):
        head = next(line for line in page.splitlines() if verdicts[next(iter(verdicts))]["question"] in line)
        row = next(line for line in page.splitlines()[page.splitlines().index(head) :] if line.startswith("| `gan`"))
        columns = dict(zip(head.split(" | "), row.split(" | "), strict=True))
        assert {each["answer"] for each in verdicts.values()} <= {value.strip(" |") for value in columns.values()}


CHANGES = {
    "genlib/models/gan.py": {"gan"},
    "genlib/objectives/elbo.py": {"vae"},
    "genlib/metrics/kid.py": {"gan", "vae"},
    "genlib/training/loop.py": {"gan", "vae"},
    "genlib/models/resnet_classifier.py": {"gan", "vae"},
    "genlib/models/cyclegan.py": set(),
    "genlib/report/page.py": set(),
}


@pytest.mark.parametrize("file", CHANGES)
def test_a_model_is_stale_where_its_code_has_changed(project, file):
    record_results(project)
    record = json.loads((project / RECORDS / "digits.json").read_text())
    (project / file).write_text((project / file).read_text() + "\n# another line\n")
    for text in (format_overview(project, record), format_metrics(project, record)):
        assert {model for model in MODELS if f"`{model}` *stale*" in text} == CHANGES[file]


def test_a_number_of_unknown_code_is_stale(project):
    evaluate(project, "gan", OLD, code=UNKNOWN)
    update_results(project, record=True)
    assert all("`gan` *stale*" in page and "`vae` *stale*" not in page for page in pages(project))


@pytest.mark.parametrize("model", ENTRIES)
def test_the_code_of_a_model_exists(model):
    code = [*list_code(ROOT, model, ENTRIES)]
    assert code and [path for path in code if not path.exists()] == []
    assert ROOT / f"genlib/models/{ENTRIES[model]['model']['name']}.py" in code


def test_uncommitted_changes_and_further_seeds_are_said(project):
    evaluate(project, "gan", OLD, dirty="true")
    for seed in (7, 4):
        write(project / f"runs/evaluate/gan/seeds/{seed}/metrics.json", {})
    update_results(project, record=True)
    assert all("seeds 3, 4, 7, commit ccccccc with uncommitted changes" in page for page in pages(project))


REFUSED = {
    "nothing evaluated": (lambda root: shutil.rmtree(root / "runs/evaluate"), "no evaluated model"),
    "other data": (
        lambda root: evaluate(root, "vae", OLD, data_sha256="e" * 64),
        "vae/metrics.json: got an evaluation on",
    ),
    "a kind that is none": (
        lambda root: (root / "README.md").write_text(PAGE.replace("overview", "overveiw")),
        "got 'overveiw', expected overview, metrics",
    ),
    "a broken file": (
        lambda root: write(root / RECORDS / "mnist.json", "{"),
        "mnist.json: got a file that cannot be read",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(project, case):
    damage, words = REFUSED[case]
    damage(project)
    (project / "docs/results.md").write_text(PAGE.replace("digits", "mnist"))
    with pytest.raises(InputError) as caught:
        update_results(project, record=True)
    assert words in str(caught.value) and "\n" not in str(caught.value)
