"""Submit a folder as a job to a Ray cluster and stream its log."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genlib.distributed.session import configure_ray_env
from genlib.errors import InputError, WorkersLost, one_line

AGENT_TIMEOUT_S = 60.0  # for a head that has just started to get its agent up


def submit_job(
    address: str, folder: Path, name: str, command: str, env: Mapping[str, str], log: Callable[[str], None]
) -> None:
    """Run `command` as the job `name` in a copy of `folder` on the head whose job server answers at `address`, and
    `log` what it prints, until it has succeeded; one of this name that runs already is followed. Raises InputError
    where no job server answers or it refuses the token, WorkersLost where the job failed or was stopped."""
    configure_ray_env()
    os.environ.pop("RAY_ADDRESS", None)  # of a head's Ray, which is another address than its job server's
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an address of that kind")
        client = JobSubmissionClient(address)
        runtime_env = {"working_dir": str(folder), "env_vars": dict(env)}
        if _is_running(client, name):
            log(f"job {name} runs already")
        else:
            _submit_with_retry(client, entrypoint=command, submission_id=name, runtime_env=runtime_env)
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        expected = "http://host:port of a running head's job server, whose token is ~/.ray/auth_token or RAY_AUTH_TOKEN"
        raise InputError(f"ADDRESS: got {address!r} ({one_line(error)}), expected {expected}") from error
    log(f"job {name}: `ray job stop --address {address} {name}` stops it; Ctrl-C here does not")

    async def follow() -> None:
        async for lines in client.tail_job_logs(name):
            log(lines.rstrip("\n"))

    asyncio.run(follow())
    while not (status := client.get_job_status(name)).is_terminal():
        time.sleep(0.5)
    if status != JobStatus.SUCCEEDED:
        raise WorkersLost(f"job {name} {status.lower()}; its last lines are above")


def _is_running(client: Any, name: str) -> bool:
    """Whether the job runs or waits; the record of one that has ended is removed, since its name is used again."""
    found = next((job for job in client.list_jobs() if job.submission_id == name), None)
    if found and found.status.is_terminal():
        client.delete_job(name)
        return False
    return found is not None


def _submit_with_retry(client: Any, **job: Any) -> None:
    """Submit, again and again while a head that has just started cannot take jobs yet."""
    deadline = time.monotonic() + AGENT_TIMEOUT_S
    while True:
        try:
            client.submit_job(**job)
            return
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(2)
