"""A project that every stage left its files in, and its page."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_tree import MODELS, ORIGIN, report_tree

from genlib.report.page import render_page
from genlib.runs import read_results


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_tree(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def html(tree: Path) -> str:
    return render_page(read_results(tree, MODELS, ["gan"]), ORIGIN)
