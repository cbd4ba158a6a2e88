"""`genlib sync`: publish to MLflow what the tracking server missed."""

import sys
from pathlib import Path


def sync() -> int:
    """Publish the runs that the tracking server missed."""
    from genlib import provenance
    from genlib.errors import mask_secrets
    from genlib.tracking import address, mlflow, run_folder

    project_dir = provenance.main_worktree(Path.cwd())
    uri, runs = mask_secrets(address.tracking_uri(project_dir)), run_folder.all_runs(project_dir)
    with mlflow.publisher_lock(project_dir) as is_mine:
        if not is_mine:
            print(f"a stage that is running publishes {len(runs)} runs to {uri}")
            return 0
        problems = mlflow.publish_all(project_dir, runs)
    for line in [*problems, *mlflow.old_records(project_dir), *run_folder.prune_runs(project_dir)]:
        print(f"genlib: {line}", file=sys.stderr)
    if not problems:
        print(f"all {len(runs)} runs are published to {uri}")
    return 1 if problems else 0
