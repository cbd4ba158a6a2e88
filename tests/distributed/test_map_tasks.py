"""Tasks of Ray do what `map` does, in its order, where every node sees the files."""

from functools import partial
from pathlib import Path

from image_files import classes, folder

from genlib.data import reading
from genlib.data.dataset import prepare
from genlib.distributed.map_tasks import map_on_cluster


def test_tasks_prepare_the_same_as_this_process(tmp_path, ray_session, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_FILES", 7)
    root = classes(tmp_path / "pictures", count=30, mode="RGB", size=(20, 14))
    by_tasks = folder(root, image_size=8, map_chunks=partial(map_on_cluster, None, [root]))
    assert prepare(by_tasks, tmp_path / "a") == prepare(folder(root, image_size=8), tmp_path / "b")


def test_a_folder_that_a_node_does_not_see_is_read_here(tmp_path, ray_session, capsys):
    numbers = map_on_cluster(1, [Path(tmp_path / "elsewhere")], abs, [-1, -2, -3])
    assert list(numbers) == [1, 2, 3]
    assert "images are decoded on this machine, since " in capsys.readouterr().out
