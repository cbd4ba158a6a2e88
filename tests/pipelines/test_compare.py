"""The two sides of a comparison: a mean and a range over seeds."""

from pipelines.compare import summarize_seeds


def result(value, low=0.0, high=1.0):
    return {"value": value, "low": low, "high": high, "null": 0.5, "n": 100, "detail": {"layer": 1}}


def test_one_seed_keeps_its_own_interval():
    assert summarize_seeds([{"kid": result(0.3)}]) == {"kid": result(0.3)}


def test_several_seeds_give_their_mean_and_range():
    [found] = summarize_seeds([{"kid": result(0.2)}, {"kid": result(0.4)}, {"kid": result(None)}]).values()
    assert found == {
        "value": (0.2 + 0.4) / 2,
        "low": 0.2,
        "high": 0.4,
        "null": 0.5,
        "n": 100,
        "detail": {"seeds": 2, "interval": "range over seeds"},
    }


def test_seeds_without_a_value_give_none():
    [found] = summarize_seeds([{"kid": result(None)}, {"kid": result(None)}]).values()
    assert [found[part] for part in ("value", "low", "high")] == [None] * 3 and found["detail"]["seeds"] == 0
