"""What the benchmarks of training count with: windows and intervals, against closed forms."""

import itertools

from benchmarks import loops


def test_a_window_counts_what_is_done_after_its_warm_up(monkeypatch):
    """Steps of 0.25 s with 512 images each: 2,048 images a second, whenever the window ends."""
    clock = itertools.count()
    monkeypatch.setattr(loops.time, "perf_counter", lambda: next(clock) / 4)

    def run(window):
        for _ in range(1000):
            window.step(512)

    assert loops.images_per_second(run, 1.0) == loops.images_per_second(run, 3.1) == 2048
