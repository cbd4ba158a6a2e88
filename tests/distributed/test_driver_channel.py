"""What comes over the channel: each report once, and a driver that fails stops its workers."""

import pytest
from prepared import digits, job

from genlib.distributed.train import ProgressListener, WorkersStarted, train_distributed
from genlib.training.checkpoints import latest_checkpoint
from genlib.training.loop import Progress


def test_a_listener_passes_each_report_on_once():
    seen, lines = [], []
    listener = ProgressListener("test", lambda progress: seen.append(progress.images_seen), lines.append)
    for message in (WorkersStarted(2, 0), 0, 10, 20, 0, WorkersStarted(1, 10), 10, 20, 30):
        listener(message if isinstance(message, WorkersStarted) else Progress(message, 30, {}))
    assert seen == [0, 10, 20, 30]
    assert lines == ["test: begun again with 1 workers at 10 images"]
    assert listener.num_workers == 1
    assert listener.result().images_seen == 30


def test_a_driver_that_fails_stops_its_workers(tmp_path, ray_session):
    def fail(progress):
        raise OSError("no space left")

    total = 32 * 1000
    run = job("gan", digits(tmp_path / "data"), tmp_path / "state", workers=1, total_images=total)
    with pytest.raises(OSError, match="no space left"):
        train_distributed(run, str(tmp_path / "ray"), "test", fail)
    assert latest_checkpoint(tmp_path / "state").images_seen < total
