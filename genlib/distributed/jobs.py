"""A job on a cluster, by the address of its job server alone: a folder goes there, lines of its log come back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from genlib.distributed.session import settle
from genlib.errors import InputError, Lost

PATIENCE = 60.0  # seconds for a head that has just begun to get its agent up


def submit(address: str, folder: Path, command: str, env: Mapping[str, str], say: Callable[[str], None]) -> str:
    """Run `command` on the head of the cluster whose job server answers at `address`, in a copy of `folder`, and `say`
    what it prints; returns the name of the job once it has succeeded.

    Raises:
        InputError: no job server answers at `address`, or it refuses the token.
        Lost: the job failed, or was stopped.
    """
    settle()
    os.environ.pop("RAY_ADDRESS", None)  # of a head's Ray, which is another address than its job server's
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        _legal(address)
        client = JobSubmissionClient(address)
        job = _accepted(client, command, {"working_dir": str(folder), "env_vars": dict(env)})
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"ADDRESS: found {address!r} ({reason}), legal: http://host:port of the job server of a head that runs, "
            "whose token is in ~/.ray/auth_token or RAY_AUTH_TOKEN"
        ) from error
    say(f"job {job}: `ray job stop --address {address} {job}` stops it; Ctrl-C here does not")

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            say(lines.rstrip("\n"))

    asyncio.run(follow())
    while not (status := client.get_job_status(job)).is_terminal():
        time.sleep(0.5)
    if status != JobStatus.SUCCEEDED:
        raise Lost(f"job {job} {status.lower()}; its last lines are above")
    return str(job)


def _legal(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an address of that kind")


def _accepted(client: object, command: str, runtime_env: Mapping[str, object]) -> str:
    """Submit, as often as it takes a head that has just begun to be able to."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return str(client.submit_job(entrypoint=command, runtime_env=dict(runtime_env)))  # type: ignore[attr-defined]
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(2)
