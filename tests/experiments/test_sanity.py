"""The criteria of the sanity checks on curves that are known, and what the checks draw."""

import pytest
import torch

from experiments import sanity
from experiments.sanity import CHECKS, SCORES, bell, check_row, falls, falls_by, is_beyond, level, near, rises, settles
from genlib.data.random import seeded_generator

HILL, DOWN = [0.0, 0.4, 1.0, 0.4, 0.0], [1.0, 0.9, 0.5, 0.2, 0.0]


@pytest.mark.parametrize(
    ("curve", "held"),
    [
        (HILL, {"bell", "-"}),
        (DOWN, {"falls", "-"}),
        (DOWN[::-1], {"rises", "-"}),
        ([0.5] * 5, {"level", "settles"}),
        ([0.0, 0.9, 0.5, 0.5, 0.5], {"settles"}),
        ([0.0, 1.0, 0.5, 1.0, 0.0], {"-"}),
        ([0.6, 0.5, 0.7, 0.5, 0.6], {"-"}),
    ],
)
def test_each_shape_holds_of_its_curves_alone(curve, held):
    shapes = {"bell": lambda c: bell(2, c), "falls": falls, "rises": rises, "level": level, "settles": settles}
    assert {name for name, holds in shapes.items() if holds(curve)} == held - {"-"}


def test_bounds_are_within_a_twentieth_and_a_fall_must_have_begun():
    assert near(0, [1], DOWN) and near(1, [0, 0.88], DOWN) and not near(1, [1], DOWN)
    assert falls_by(2, DOWN) and not falls_by(1, [1.0, 0.95, 0.5, 0.0]) and not falls_by(2, HILL)


def rows_of(check, curve):
    """Every score has this curve, of as many points as each draw has."""
    return check_row(check, [[[curve(at)] * len(SCORES) for at, _ in check.draws]])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_constant_score_passes_no_check_but_where_the_truth_is_constant(check):
    name, *cells = rows_of(check, lambda at: [0.5] * len(at))
    assert name == check.name and set(cells) <= {"-", "shape"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_draws_finite_rows_of_equal_number(check):
    for at, draw in check.draws:
        for k, point in enumerate((at[0], at[-1])):
            real, made = draw(point, seeded_generator(0, str(k)))
            assert real.shape == made.shape and real.isfinite().all() and made.isfinite().all()


def test_the_least_move_of_a_score_that_is_right_passes():
    ideal = {"means apart": lambda at: [1.0 if abs(x) < 1e-9 else 0.0 for x in at]}
    for check in CHECKS[:1]:
        assert set(rows_of(check, ideal[check.name])[1:]) == {"both"}


def test_a_fault_is_found_beyond_all_but_one_of_the_real_draws():
    real = [float(k) for k in range(39)]
    assert is_beyond("precision", 0.5, real) and not is_beyond("precision", 1.5, real)
    assert is_beyond("frechet", 37.5, real) and not is_beyond("frechet", 36.5, real)
    assert is_beyond("density", 38.5, real) and is_beyond("density", -0.5, real) and not is_beyond("density", 0.5, real)


def test_the_curves_of_a_check_are_those_of_its_points(monkeypatch):
    monkeypatch.setattr(sanity, "N", 60)
    at, draw = CHECKS[0].draws[0]
    curves = sanity.measure(draw, at, 0)
    assert len(curves) == len(SCORES) and {len(curve) for curve in curves} == {len(at)}
    assert torch.tensor(curves)[:, 5].min() > 0.5 and torch.tensor(curves)[:, [0, -1]].max() < 0.2
