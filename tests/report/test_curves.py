"""Training curves, and where a GAN was out of balance."""

from __future__ import annotations

from genlib.report.curves import UnhealthySpan, plot_training_curves, unhealthy_spans


def test_a_game_that_stands_badly_is_marked_and_said() -> None:
    columns = {
        "images_seen": [10.0, 20.0, 30.0, 40.0, 50.0],
        "d_real": [0.6, 1.0, 1.0, 0.6, None],
        "d_fake": [0.6, 1.0, 0.99, 0.6, None],
        "duplicate_rate": [None, None, 0.0, 0.0, 0.9],
    }
    assert unhealthy_spans(columns) == [UnhealthySpan(10, 30, "D wins"), UnhealthySpan(40, 50, "collapsed")]
    drawn = plot_training_curves("gan", columns, health=True)
    assert [picture.title for picture in drawn] == ["Discriminator is right", "Repertoire, in pixels"]
    assert all("From 10.0 to 30.0 images: D wins. From 40.0 to 50.0 images: collapsed." in p.alt for p in drawn)
    assert unhealthy_spans({"images_seen": [10.0], "loss": [0.1]}) == []
