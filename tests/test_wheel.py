"""A wheel holds all that the package reads, names its extras, and its core works from where it is unpacked."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

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
