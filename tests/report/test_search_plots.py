"""The trials of a sweep on the page: their order, their outcomes, what they cost, and the plots of the search."""

import pytest
from report_tree import report_tree, write, write_tune

from genlib.report.search_plots import _to_unit_range, read_trials, search_cost, search_plots
from genlib.runs import read_results


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    report_tree(root)
    write_tune(root, "gan")
    return read_results(root, ["gan"], ["gan"]).models[0].sweep


def test_trials_are_sorted_and_marked(sweep):
    trials = read_trials(sweep, "kid")
    assert [trial.cells["trial"] for trial in trials] == ["3", "2", "1", "0", "4", "5"]
    assert [trial.outcome for trial in trials] == [
        *("violates a constraint", "winner", "", "", "stopped early", "diverged")
    ]
    assert [trial.is_default for trial in trials] == [False, False, False, True, False, False]
    assert trials[1].metrics == {"kid": "0.19", "kid_median": "0.2", "coverage": "0.85"}
    assert trials[1].hyperparameters["train.lr_d/lr_g"] == "0.5"
    assert (trials[1].format("images_seen"), trials[1].format("seconds")) == ("40,000", "12.9")


def test_the_cost_counts_repeats_and_what_was_stopped(sweep):
    cost = search_cost(sweep.trials)
    assert (cost.num_trials, cost.num_repeats, cost.num_stopped) == (6, 2, 2)
    assert (cost.images, cost.seconds) == ("255,000", "83")


def test_each_hyperparameter_and_the_search_have_plots(sweep):
    plots = search_plots("gan", read_trials(sweep, "kid"), "kid", "coverage")
    titles = ["Balance map", "Best so far", "Quality against diversity", "Hyperparameters together"]
    assert [plot.title for plot in plots] == [*titles, "train.lr_g", "train.lr_d/lr_g", "objective.d_steps_per_g_step"]
    assert "Ended as D wins 2, G wins 1, collapsed 0, diverged (NaN) 0." in plots[0].alt
    assert plots[1].alt.endswith("the images that the search has seen: 0.190 after 180,000 images.")
    assert plots[4].alt.endswith("The winner has 0.0021.")


def test_a_search_without_two_scores_has_no_plots(sweep):
    assert search_plots("gan", read_trials(sweep, "kid")[:1], "kid", "coverage") == []


@pytest.mark.parametrize(
    ("cells", "expected"),
    [(["0", "1", "4"], [0, 0.25, 1]), (["1", "10", "100"], [0, 0.5, 1]), (["b", "a", "b"], [1, 0, 1]), (["2"], [0.5])],
)
def test_values_of_a_hyperparameter_fill_the_unit_range(cells, expected):
    assert _to_unit_range(cells) == pytest.approx(expected)


def test_a_sweep_that_failed_has_no_winner(tmp_path):
    report_tree(tmp_path)
    columns = "trial,train.lr_g,objective.d_steps_per_g_step,kid,status,feasible,images_seen,seconds"
    write(tmp_path / "runs/tune/gan/trials.csv", f"{columns}\n0,0.0021,1,,error,False,0,0.0\n")
    sweep = read_results(tmp_path, ["gan"], ["gan"]).models[0].sweep
    [trial] = read_trials(sweep, "kid")
    assert (trial.outcome, trial.score, trial.is_winner) == ("error", None, False)
    assert search_plots("gan", [trial], "kid", "coverage") == []
