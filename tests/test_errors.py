"""What leaves genlib: one line for whatever fails, no secrets, and output that may end early."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genlib.errors import InputError, Refusals, mask_secrets, one_line, run_cli

ADDRESSES = [  # a password, token or signature is always "s3cr3t" or holds it
    ("http://alice:s3cr3t@127.0.0.1:5999", "http://***@127.0.0.1:5999"),
    ("http://s3cr3t@host/x", "http://***@host/x"),
    ("http://alice:s3/cr3t@s3cr3t@host/x", "http://***@host/x"),
    ("http://alice:p#s3cr3t@host", "http://***@host"),
    ("http://alice:s3cr3t@[::1]:5000/a", "http://***@[::1]:5000/a"),
    ("postgresql+psycopg2://u:s3cr3t@h/db", "postgresql+psycopg2://***@h/db"),
    ("alice:s3cr3t@host:5000", "***@host:5000"),
    ("postgresql://h/db?user=u&password=s3cr3t&x=1", "postgresql://h/db?user=u&password=***&x=1"),
    ("https://h/a?X-Amz-Signature=s3cr3t&amp;X-Amz-Security-Token=s3cr3t", None),
    ("https://h/a?sv=1&sig=s3cr3t%2Fa%3D and more", "https://h/a?sv=1&sig=*** and more"),
    ("https://h/a?AWSAccessKeyId=s3cr3t#access_token=s3cr3t", "https://h/a?AWSAccessKeyId=***"),
    (r"https://h/a?b=1\u0026api_key=s3cr3t\u0026c=2", r"https://h/a?b=1\u0026api_key=***\u0026c=2"),
]
KEPT = [
    "http://127.0.0.1:5000/#/experiments/1?workflowType=machine_learning",
    "hf://datasets/user/name@main",
    "https://openreview.net/forum?id=1",
    "models:/gan@champion",
    "sqlite:////a/b@c/mlflow.db",
    "http://[::1]:5000/a@b",
    '{"a": "x@y.z"}',
    "trial 0: kid 0.1",
]


@pytest.mark.parametrize(("address", "shown"), ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address, shown, capsys):
    """Secrets in addresses: a password in MLFLOW_TRACKING_URI was printed by every stage (mlflow#2282)."""
    assert shown is None or mask_secrets(address) == shown
    found = [
        mask_secrets(address),
        str(InputError(f"data.root: got {address!r}, expected x")),
        one_line(OSError(address)),
    ]

    def body():
        print(f"from {address!r}")
        print(address, file=sys.stderr)
        raise RuntimeError(address)

    assert run_cli(body, debug=True) == 3
    assert "s3cr3t" not in "".join([*found, *capsys.readouterr()])


@pytest.mark.parametrize("text", KEPT)
def test_an_address_without_secrets_is_kept(text):
    assert mask_secrets(text) == text


def safetensors_error():
    from safetensors import SafetensorError

    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def error_of_a_worker():
    try:
        raise OSError(errno.EFBIG, "File too large", "x.npz")
    except OSError as error:
        raise RuntimeError("worker failed") from error


def disk_error(number):
    def body():
        raise OSError(number, os.strerror(number), "runs/x")

    return body


@pytest.mark.parametrize(
    "body",
    [
        safetensors_error,
        error_of_a_worker,
        *(disk_error(number) for number in (errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EDQUOT, errno.EACCES)),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line(body, capsys):
    """Full, read-only and limited disks, also by errors of libraries: SafetensorError, for one, is no OSError."""
    assert run_cli(body) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and ": got " in line and "expected " in line


@pytest.mark.parametrize(
    ("error", "code"), [(KeyError("x"), 3), (ConnectionError("reset\nby peer"), 2), (ZeroDivisionError(), 1)]
)
def test_what_is_not_expected_is_one_line_too(error, code, capsys, monkeypatch):
    """Errors of libraries ended stages in a traceback; it is shown where it is asked for."""

    def body():
        raise error

    assert run_cli(body) == code
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("GENLIB_DEBUG", "1")
    assert run_cli(body) == code and "Traceback" in capsys.readouterr().err


PRINTS = """
import sys
from pathlib import Path
from genlib.errors import run_cli
def body():
    for number in range(20_000):
        print(number, flush=number % 2)
    Path("done").touch()
sys.exit(run_cli(body))
"""


@pytest.mark.parametrize("reader", ["head -1", "true", "cat >/dev/full", ""])
def test_a_reader_that_leaves_early_ends_no_work(tmp_path, reader):
    """Broken pipes: `genlib evaluate ... | head -1` lost what it had computed, with exit code 3."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = f"{sys.executable} -c '{PRINTS}' {f'| {reader}' if reader else '>&-'}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "done").exists()
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_output_to_a_full_disk_is_one_line(tmp_path):
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = f"{sys.executable} -c '{PRINTS}' >/dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "expected a disk with room" in done.stderr


def test_all_refusals_are_raised_at_once_each_printed_in_a_line(capsys):
    def refuse():
        refusals = Refusals()
        for found in ("a: got 1", "b: got 2\nand more"):
            with refusals.collect():
                raise InputError(found)
        with refusals.collect():
            inner = Refusals([InputError("c: got 3"), InputError("d: got 4")])
            inner.raise_all()
        refusals.raise_all()

    assert run_cli(refuse) == 2
    assert (
        capsys.readouterr().err == "genlib: a: got 1\ngenlib: b: got 2 and more\ngenlib: c: got 3\ngenlib: d: got 4\n"
    )
    with pytest.raises(InputError, match=r"^a: got 1 \(and 3 more\)$"):
        refuse()


def test_one_refusal_is_itself_and_none_is_none():
    Refusals().raise_all()
    error = InputError("a: got 1")
    with pytest.raises(InputError) as raised:
        Refusals([error]).raise_all()
    assert raised.value is error
