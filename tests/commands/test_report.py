"""`genlib report`: the page of the runs so far."""

import shutil

from documents import ROOT
from refusals import refusal
from report_tree import MODELS, report_tree

from genlib.cli import main


def test_the_page_has_the_models_that_are_there_and_says_which_are_not(tmp_path, monkeypatch, capsys):
    report_tree(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--out", "page.html"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"page.html: {len(MODELS)} models, without ") and "cyclegan" in printed
    html = (tmp_path / "page.html").read_text()
    assert all(f'id="model-{name}"' in html for name in MODELS) and "genlib report" in html


def test_without_runs_there_is_no_page(tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "runs/train: got no model of params.yaml" in refusal(capsys, ["report"])
