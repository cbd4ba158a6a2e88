"""What runs the benchmarks and writes their page, without running one."""

import json
import subprocess
import sys
import time

import pytest
from documents import ROOT
from tracking.runs import published

from benchmarks import __main__ as driver
from benchmarks import page, results
from benchmarks.alone import IsolatedWork
from benchmarks.growth import fit_exponent
from benchmarks.metrics import largest_difference
from benchmarks.repro import STAGE_ENDED
from benchmarks.scaling import GPUS, CostModel, predict_step_s, project_gpus
from genlib import provenance


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Results and logs in a folder of their own."""
    monkeypatch.setattr(results, "FILE", tmp_path / "results.json")
    monkeypatch.setattr(driver, "LOGS", tmp_path)
    return tmp_path / "results.json"


def test_every_benchmark_of_the_list_is_a_file():
    assert [e.name for e in driver.ENTRIES if not (ROOT / "benchmarks" / f"{e.name}.py").exists()] == []


def test_a_row_takes_the_place_of_the_one_before_and_tells_its_spread(kept):
    results.record("b", 0.5, 1.0, at_least=False, detail={"old": True})
    results.record("a", 2.0, 3.0, at_least=True, detail={})
    results.record("b", 1.5, 1.0, at_least=False, detail={"new": True}, rounds=[1.4, 1.5, 9.0])
    first, second = json.loads(kept.read_text())
    assert (first["name"], first["ok"], second["name"], second["ok"]) == ("a", False, "b", False)
    assert second["detail"] == {"new": True, "rounds": 3, "spread": [1.4, 9.0]}


def test_a_benchmark_that_fails_is_recorded_and_forgiven_when_it_runs_again(kept, monkeypatch, capsys):
    assert not driver.run_benchmark("absent", [])
    (row,) = json.loads(kept.read_text())
    assert (row["benchmark"], row["ok"]) == ("absent", False) and "absent" in row["detail"]["said"][0]
    assert "FAILED" in capsys.readouterr().out
    monkeypatch.setattr(driver, "run_logged", lambda command, log: log.write_text("well, ok\n") * 0)
    assert driver.run_benchmark("absent", []) and json.loads(kept.read_text()) == []
    assert "well, ok" in capsys.readouterr().out


def test_what_takes_too_long_is_ended_with_all_that_it_began(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "TIMEOUT_S", 0.5)
    log, mark = tmp_path / "log", tmp_path / "mark"
    assert driver.run_logged(["bash", "-c", f"(sleep 1; touch {mark}) & wait"], log) == 124
    time.sleep(1)
    assert "longer than" in log.read_text() and not mark.exists()


def test_the_page_keeps_the_words_around_its_tables(kept, tmp_path, monkeypatch, capsys):
    place = tmp_path / "page.md"
    place.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    monkeypatch.setattr(page, "PAGE", place)
    results.put_row({"name": "long", "ratio": 3.0, "bound": 2.0, "ok": False, "detail": {}})
    results.record("short", 0.5, 1.0, at_least=False, detail={}, rounds=[0.4, 0.5])
    results.put_row({**results.read_rows()[1], "benchmark": "tune"})
    page.write_page(["tune"])
    page.write_page(["tune"])
    text = place.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("| short (`.tune`) | **0.5** | at most 1 | 0.4 to 0.5 (2) | yes |") == 1
    assert text.index("short") < text.index("Measured apart") < text.index("| long | **3** | 2 |  | **no** |")
    assert all(f"{name} " in text for name in ("Python", "torch", "ray"))


def test_the_page_calls_a_commit_dirty_for_changed_code_and_not_for_the_results_just_written(tmp_path, monkeypatch):
    for file in ("genlib/code.py", "benchmarks/results.json"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text("1")
    who = ["-c", "user.name=one", "-c", "user.email=one@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(page, "ROOT", tmp_path)
    for name in (provenance.COMMIT_ENV, provenance.DIRTY_ENV):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "benchmarks/results.json").write_text("2")
    clean = page.short_commit()
    assert provenance.commit(tmp_path).startswith(clean) and len(clean) == 7
    (tmp_path / "genlib/code.py").write_text("2")
    assert page.short_commit() == f"{clean}-dirty"


def filled(mib):
    return len(bytearray(mib << 20))


def test_memory_is_that_of_a_process_of_its_own_each_time_that_it_works():
    with IsolatedWork(given, fill_less, [300, 1]) as process:
        much, little = process(), process()
    assert (much.value, little.value) == (300 << 20, 1 << 20)
    assert much.peak - much.before >= 299 > 50 > little.peak - little.before


def given(work, fact):
    return (fact,)


def fill_less(sizes):
    return filled(sizes.pop(0))


def test_work_that_dies_is_an_error():
    with IsolatedWork(given, sys_exit, 3) as process, pytest.raises(RuntimeError, match="sys_exit"):
        process()


def sys_exit(code):
    sys.exit(code)


def test_the_exponent_of_a_power_is_its_exponent():
    assert fit_exponent({n: 7e-9 * n**1.7 for n in (1000, 3000, 10_000, 30_000)}) == pytest.approx(1.7)


def test_values_are_as_far_apart_as_the_farthest():
    assert largest_difference({"a": 1.0, "b": 2.0, "more": 9.0}, {"a": 1.0, "b": 2.5}) == pytest.approx(0.2)
    assert largest_difference({"a": 0.0}, {"a": 0.0}) == 0


def test_a_stage_is_known_by_the_line_that_says_how_long_it_took():
    assert STAGE_ENDED.fullmatch("train@vae: 64 s").groups() == ("train@vae", "64")
    assert STAGE_ENDED.fullmatch("train vae: 90,048 of 120,000 images, 1,099 images/s, 27 s left") is None


def test_the_cost_model_is_that_of_a_ring():
    machine = CostModel(step=1.0, latency=0.01, bandwidth=4e6)
    assert predict_step_s(machine, 1, [10**6, 10**6]) == 1.0
    assert predict_step_s(machine, 4, [10**6, 10**6]) == pytest.approx(0.25 + 2 * (0.03 + 1.5))
    found = project_gpus([10**6, 10**6])
    assert set(found["speed_up_same_batch"]) == set(GPUS)
    assert all(1 <= found["speed_up_same_batch_a_gpu"][gpus] <= gpus for gpus in GPUS)


def test_without_a_gpu_its_benchmark_says_so():
    command, env = [sys.executable, "-m", "benchmarks.gpu"], {"CUDA_VISIBLE_DEVICES": ""}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert said.returncode == 2 and said.stderr.count("\n") == 1 and "CUDA" in said.stderr


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
def test_a_benchmark_is_a_row_and_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(results, "FILE", tmp_path / "benchmarks/results.json")
    for ratio in (0.5, 0.9):
        results.record("speed", ratio, 0.8, at_least=True, detail={"seconds": [1, 2]})
    [row] = json.loads((tmp_path / "benchmarks/results.json").read_text())
    assert row["ok"] and row["ratio"] == 0.9
    _, runs = published(f"sqlite:///{tmp_path}/mlflow.db", "benchmarks")
    assert sorted(run.data.metrics["ratio"] for run in runs) == [0.5, 0.9]
    assert "NOT REACHED" in capsys.readouterr().out
