"""The pages as tests see them: their fenced blocks, and a copy of the project to run them in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`([\w./]+\.(?:py|yaml))`[^`]*:$")


@dataclass(frozen=True)
class Block:
    """A fenced block. `tag` is who runs it: `fast` make test, `slow` make docs-check, `manual` the reader. `file` is
    where the line above says that it goes, or "" for what is to be typed."""

    page: Path
    language: str
    tag: str
    text: str
    file: str


def blocks(page):
    """The blocks of a page, in order."""
    found, text = [], page.read_text()
    for fence in FENCE.finditer(text):
        language, _, tag = fence[1].partition(" ")
        file = FILE.search(text[: fence.start()].rstrip().rpartition("\n")[2])
        found.append(Block(page, language, tag, fence[2], file[1] if file else ""))
    return found


def example(page, file):
    """The text that the page at `docs/<page>` puts into `file`."""
    (text,) = (block.text for block in blocks(ROOT / "docs" / page) if block.file == file)
    return text


def run(project, *command):
    """What a command says on standard output, run in the copy with the copy's code."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": f"{project}{os.pathsep}{ROOT / 'tests'}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def copied(folder):
    """A copy of the project's files, as old as they are: make compares their times with that of its stamp."""
    for name in run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "-q")
    return folder
