"""A wheel holds all that the package reads, names its extras, and its core works from where it is unpacked."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

ROOT = Path(__file__).parent.parent
BUILD = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
USE = """
import sys, torch, genlib
from genlib.registry import build
assert genlib.__file__.startswith(sys.argv[1]), genlib.__file__
print(tuple(build("models", {"name": "gan", "latent": 4, "width": 4}, (1, 8, 8), 10).sample(2).shape))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "genlib", folder / "genlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    subprocess.run([sys.executable, "-c", BUILD], cwd=folder, check=True, capture_output=True)
    [path] = (folder / "dist").glob("*.whl")
    return path


def test_it_holds_every_file_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if name.startswith("genlib/")}
    there = {
        str(path.relative_to(ROOT)) for path in (ROOT / "genlib").rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    assert held == there and "genlib/py.typed" in held


def test_it_names_its_extras_and_asks_for_little_without_them(wheel):
    with zipfile.ZipFile(wheel) as file:
        name = next(name for name in file.namelist() if name.endswith("METADATA"))
        facts = Parser().parsestr(file.read(name).decode())
    assert {"cluster", "tracking"} <= set(facts.get_all("Provides-Extra"))
    plain = [line for line in facts.get_all("Requires-Dist") if "extra" not in line]
    assert sorted(line.partition(">")[0] for line in plain) == ["numpy", "safetensors", "torch"]


def test_the_core_works_from_where_it_is_unpacked(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    use = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert use.stdout == "(2, 1, 8, 8)\n"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """`installed(*extras)`: a folder that holds the wheel and exactly what it asks for with these extras, as links to
    what is installed here."""
    made = {}

    def install(*extras):
        if extras not in made:
            made[extras] = site = tmp_path_factory.mktemp("site")
            with zipfile.ZipFile(wheel) as file:
                file.extractall(site)
            [facts] = site.glob("*.dist-info/METADATA")
            wanted = [
                (Requirement(line), extras) for line in Parser().parsestr(facts.read_text()).get_all("Requires-Dist")
            ]
            link_requirements(site, wanted)
        return made[extras]

    return install


def link_requirements(site, wanted):
    linked = set()
    while wanted:
        requirement, extras = wanted.pop()
        asked = not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        key = (requirement.name, *sorted(requirement.extras))
        if not asked or key in linked:
            continue
        linked.add(key)
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError:
            continue
        wanted += [(Requirement(line), tuple(requirement.extras)) for line in found.requires or ()]
        for top in {Path(file).parts[0] for file in found.files} - {"..", "__pycache__", "bin"}:
            if not (site / top).is_symlink():
                (site / top).symlink_to(found.locate_file(top))


def run(site, *command, code=0, cwd):
    """What a command of the installed package prints, started without this Python's own packages."""
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-S", *command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def pictures(tmp_path):
    for side in ("real", "fake"):
        (tmp_path / side).mkdir()
        for index in range(40):
            pixels = np.random.default_rng([index, side == "real"]).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{index}.png")
    return tmp_path


def test_the_core_says_which_extras_a_command_needs(installed, pictures):
    site = installed()
    assert "usage: genlib" in run(site, "-m", "genlib", "--help", cwd=pictures)
    assert "nothing is broken" in run(site, "-m", "genlib", "doctor", cwd=pictures)
    for command in (["evaluate", "--real", "real", "--fake", "fake"], ["report"], ["completion", "bash"], ["sync"]):
        printed = run(site, "-m", "genlib", *command, code=2, cwd=pictures)
        assert printed.startswith("genlib: got no package") and "pip install 'genlib[" in printed


def test_images_alone_evaluate_and_write_the_page(installed, pictures):
    """The kind of fault: what is there only in a checkout is taken for granted in the installed package."""
    site = installed("images")
    command = [
        "evaluate",
        "--real",
        "real",
        "--fake",
        "fake",
        "--metrics",
        "c2st",
        "--json",
        "o.json",
        "--html",
        "o.html",
    ]
    run(site, "-m", "genlib", *command, cwd=pictures)
    assert json.loads((pictures / "o.json").read_text())["metrics"]["c2st"]["n"]
    assert "<html" in (pictures / "o.html").read_text()
    assert "complete" in run(site, "-m", "genlib", "completion", "bash", cwd=pictures)
    shutil.copytree(ROOT / "tests/fixtures/run_0_1/gan", pictures / "gan")
    run(site, "-m", "genlib", "sample", "gan", "--count", "4", "--out", "grid.png", cwd=pictures)
    assert (pictures / "grid.png").stat().st_size


def test_the_report_of_a_project_needs_images_alone(installed, pictures):
    shutil.copy(ROOT / "params.yaml", pictures)
    printed = run(installed("images"), "-m", "genlib", "report", cwd=pictures, code=2)
    assert "no package" not in printed


def test_tracking_and_cluster_hold_what_their_modules_import(installed, pictures):
    assert "0 runs" in run(installed("images", "tracking"), "-m", "genlib", "sync", cwd=pictures)
    modules = "genlib.distributed.train, genlib.tuning.search, genlib.tuning.searchers, genlib.tuning.sweep"
    run(installed("images", "cluster"), "-c", f"import {modules}", cwd=pictures)
