"""Run folders for the tests of tracking, and what MLflow shows of them."""

from genlib.tracking.run_folder import open_run

TAGS = {"genlib.stage": "train", "genlib.model": "gan", "genlib.data_sha256": "d" * 64}


def start(project, name="train gan", tags=TAGS, params=()):
    return open_run(project, name.replace(" ", "-"), name=name, experiment="digits", tags=tags, params=dict(params))


def trained(project, name="train gan", weights="a" * 64, stage="train", steps=(10,)):
    """A finished run that trained these weights; its folder."""
    with start(project, name, {"genlib.stage": stage}) as run:
        for step in steps:
            run.log({"loss": 1 / step}, step)
        run.tag({"genlib.model_sha256": weights})
    return run.path


def swept(project, end=True):
    """A sweep with one trial, an image grid and an artifact; its folder."""
    import torch

    sweep = start(project, "tune gan", params={"train": {"lr": 0.1}})
    trial = sweep.start_nested("trial-0", "tune gan trial 0", {"train.lr": 0.2})
    for step in (10, 20):
        trial.log({"kid": 1 / step, "coverage": 0.5}, step)
    trial.log_images("samples", torch.zeros(4, 1, 8, 8, dtype=torch.uint8), 20)
    note = project / "note.txt"
    note.write_text("kept")
    sweep.log_artifact(note, "notes")
    if end:
        trial.end()
        sweep.end()
    return sweep.path


def published(uri, experiment="digits"):
    """The client and the runs of an experiment."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id]) if found else []


def by_name(uri, experiment="digits"):
    _, runs = published(uri, experiment)
    assert len({run.info.run_name for run in runs}) == len(runs), "a run was published twice"
    return {run.info.run_name: run for run in runs}


def points(client, run, metric):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]
