"""`genlib track`: what waits for the tracking server, and its sending."""

from __future__ import annotations

from pathlib import Path

from genlib.errors import InputError


def sync(flush: bool) -> None:
    """Say what waits for the tracking server, or send it."""
    from genlib import provenance
    from genlib.tracking.mlflow import ServerUnreachable, events, send, tracking_uri, waiting

    home = provenance.main_worktree(Path.cwd())
    uri, journals = tracking_uri(home), waiting(home / ".genlib" / "journal")
    for journal in journals:
        if flush:
            try:
                send(journal, uri, home)
            except ServerUnreachable as error:
                raise InputError(f"MLFLOW_TRACKING_URI: got that {error}, expected a server that runs") from error
        print(f"{journal.name}: sent" if flush else f"{journal.name}: {events(journal)} events wait")
    if not journals:
        print(f"nothing waits for {uri}")
