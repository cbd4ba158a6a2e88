"""Submit a folder as a job to a Ray cluster and stream its log."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from genlib.distributed.session import configure_ray_env
from genlib.errors import InputError, WorkersLost, one_line

AGENT_TIMEOUT_S = 60.0  # for a head that has just started to get its agent up


def submit_job(address: str, folder: Path, command: str, env: Mapping[str, str], log: Callable[[str], None]) -> str:
    """Run `command` in a copy of `folder` on the head whose job server answers at `address`, and `log` what it prints;
    returns the name of the job once it has succeeded.

    Raises:
        InputError: no job server answers at `address`, or it refuses the token.
        WorkersLost: the job failed, or was stopped.
    """
    configure_ray_env()
    os.environ.pop("RAY_ADDRESS", None)  # of a head's Ray, which is another address than its job server's
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an address of that kind")
        client = JobSubmissionClient(address)
        job = _submit_with_retry(client, command, {"working_dir": str(folder), "env_vars": dict(env)})
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        expected = "http://host:port of a running head's job server, whose token is ~/.ray/auth_token or RAY_AUTH_TOKEN"
        raise InputError(f"ADDRESS: got {address!r} ({one_line(error)}), expected {expected}") from error
    log(f"job {job}: `ray job stop --address {address} {job}` stops it; Ctrl-C here does not")

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            log(lines.rstrip("\n"))

    asyncio.run(follow())
    while not (status := client.get_job_status(job)).is_terminal():
        time.sleep(0.5)
    if status != JobStatus.SUCCEEDED:
        raise WorkersLost(f"job {job} {status.lower()}; its last lines are above")
    return str(job)


def _submit_with_retry(client: object, command: str, runtime_env: Mapping[str, object]) -> str:
    """Submit, again and again while a head that has just started cannot take jobs yet."""
    deadline = time.monotonic() + AGENT_TIMEOUT_S
    while True:
        try:
            return str(client.submit_job(entrypoint=command, runtime_env=dict(runtime_env)))  # type: ignore[attr-defined]
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(2)
