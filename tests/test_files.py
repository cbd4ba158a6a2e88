"""Files that other programs may hold: links, devices, pipes, and disks that fill up."""

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from genlib.files import append_line, require_writable, write_json, write_text

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, exists):
    """What is no plain file: `--json` to a link replaced the link."""
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there/a.json", tmp_path / "link.json"
    if exists:
        target.write_text("old")
    link.symlink_to("there/a.json")
    require_writable(link, "--json")
    write_text("new", link)
    assert link.is_symlink() and target.read_text() == "new" and list(tmp_path.rglob(".*")) == []


def test_a_link_to_a_read_only_file_is_replaced(tmp_path):
    """DVC may link results to its cache, whose files must not change."""
    (tmp_path / "cache").write_text("old")
    (tmp_path / "cache").chmod(0o444)
    (tmp_path / "link").symlink_to("cache")
    write_text("new", tmp_path / "link")
    assert (tmp_path / "cache").read_text() == "old" and (tmp_path / "link").read_text() == "new"


def test_a_fifo_and_a_device_are_written_through(tmp_path):
    os.mkfifo(fifo := tmp_path / "fifo")
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    require_writable(fifo, "--json")
    write_json([1], fifo)
    reader.join()
    assert read == ["[\n  1\n]\n"] and fifo.is_fifo()
    write_json([1], Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


OUTPUTS = """
import sys
from pathlib import Path
from genlib.errors import run_cli
from genlib.files import require_writable, write_text
def body():
    path = Path(sys.argv[1])
    require_writable(path, "--json")
    print("before")
    write_text("json\\n", path)
    print("after")
sys.exit(run_cli(body))
"""


SINKS = ("> out", "| cat > out", "| head -c 7 > out")


@pytest.mark.parametrize(
    ("name", "sink"),
    [("out", "> out"), *((f"/dev/{name}", sink) for name in ("stdout", "fd/1") for sink in SINKS)],
)
def test_the_own_output_is_written_in_turn(tmp_path, name, sink):
    """`--json /dev/fd/1` ended with exit code 3 once the work was done."""
    (tmp_path / "code.py").write_text(OUTPUTS)
    command = f"{sys.executable} code.py {name} {sink}; exit ${{PIPESTATUS[0]}}"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out").read_text() == ("before\n" if "head" in sink else "before\njson\nafter\n")


def test_a_line_is_appended_whole_or_not_at_all(tmp_path):
    """Torn lines: a disk that fills up, and a file at its limit, cut a line short that the next one was glued to."""
    path = tmp_path / "lines"
    append_line("first", path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError):
            append_line("second" * 10, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    append_line("third", path)
    assert path.read_text() == "first\nthird\n"
