"""The documents point at what there is, and what they say to type does what they say."""

import re
import sys

import pytest
import yaml
from documents import PAGES, ROOT, blocks, copied, run
from prepared import MODELS, digits, job

from genlib.training.fit import fit
from genlib.training.job import save_model

LINK = re.compile(r"\]\((?!https?://)([^)\s]*)\)")
TAGS = {"fast", "slow", "manual"}


def name(page):
    return str(page.relative_to(ROOT))


def anchors(page):
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    links = LINK.findall(page.read_text())
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {target}"
        assert not anchor or anchor in anchors(target), f"{link}: {target.name} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_who_runs_it(page):
    found = blocks(page)
    assert len(re.findall(r"^ *```", page.read_text(), flags=re.M)) == 2 * len(found)
    assert {block.tag for block in found} <= TAGS
    assert not any(re.search(r"make test|pytest|\.ci/run", block.text) for block in found if block.tag != "manual")


def commands(tag):
    """(page, language) -> what the page's blocks of this tag say to type, in order."""
    found = {}
    for block in (block for page in PAGES for block in blocks(page) if block.tag == tag and not block.file):
        found.setdefault((block.page, block.language), []).append(block.text)
    return [pytest.param(language, texts, id=f"{name(page)}-{language}") for (page, language), texts in found.items()]


def typed(project, language, texts):
    shell = {"bash": ["bash", "-euxo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}
    return run(project, *shell[language], "\n".join(texts))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy with prepared digits and models of them that were trained for a moment."""
    project = copied(tmp_path_factory.mktemp("project"))
    data = digits(project / "data/prepared")
    for model in MODELS:
        short = job(model, data, project / "state" / model, total_images=16, report_every=16)
        list(fit(short))
        save_model(short, project / "runs/train" / model)
    return project


@pytest.mark.parametrize(("language", "texts"), commands("fast"))
def test_what_is_quick_runs_as_written(project, language, texts):
    typed(project, language, texts)


@pytest.mark.long
@pytest.mark.parametrize(("language", "texts"), commands("slow"))
def test_what_is_slow_runs_as_written_with_the_values_of_smoke(tmp_path, language, texts):
    project = copied(tmp_path)
    run(project, "git", "add", "--all")
    run(project, "git", "-c", "user.name=reader", "-c", "user.email=reader@localhost", "commit", "-qm", "As it is")
    (project / ".venv").symlink_to(ROOT / ".venv")
    run(project, "make", "--question", "setup")  # else make would install this copy where the project's own is
    run(project, sys.executable, "-m", "pipelines.check", "--preset", "smoke")
    typed(project, language, texts)


def test_the_citation_says_what_the_package_says():
    import tomllib

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
