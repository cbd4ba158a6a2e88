"""Names that people type lead to metrics that exist."""

import pytest

from genlib.commands.evaluate import _parse_metrics
from genlib.errors import InputError
from genlib.metrics.aliases import ALIASES, canonical_keys, canonical_names, describe_aliases
from genlib.metrics.registry import check_metric_names, metric_names
from genlib.params import EvaluateSection, TuneSection


def test_every_alias_stands_for_metrics_and_is_none():
    for alias, names in ALIASES.items():
        assert alias not in metric_names() and set(names) <= set(metric_names())


def test_lists_have_each_metric_once_in_order():
    assert canonical_names(["kid", "fid", "prdc", "frechet", "recall"]) == [
        "kid",
        "frechet",
        "precision",
        "recall",
        "density",
        "coverage",
    ]
    assert canonical_keys({"fid": 0.5, "kid": 1.0}) == {"frechet": 0.5, "kid": 1.0}
    assert describe_aliases(["kid", "is", "fid"]) == ["is is inception_score", "fid is frechet"]


def test_params_hold_the_canonical_names():
    assert EvaluateSection(metrics=["fid", "is"]).metrics == ["frechet", "inception_score"]
    section = TuneSection(metric="fid", second_metric="is", constraints={"fid": 0.1})
    assert (section.metric, section.second_metric) == ("frechet", "inception_score")
    assert section.constraints == {"frechet": 0.1}


@pytest.mark.parametrize("section", [{"metric": "fd_dinov2"}, {"constraints": {"fd_dinov2": 0.1}}])
def test_an_alias_of_another_networks_features_is_refused_in_params(section):
    with pytest.raises(ValueError, match="got fd_dinov2, a metric in features of dinov2, expected frechet"):
        TuneSection(**section)
    with pytest.raises(ValueError, match="got fd_dinov2"):
        EvaluateSection(metrics=["kid", "fd_dinov2"])


def test_the_command_says_what_an_alias_stands_for(capsys):
    assert _parse_metrics("is,fid,kid", None) == ["inception_score", "frechet", "kid"]
    assert capsys.readouterr().out.splitlines() == ["evaluate: is is inception_score", "evaluate: fid is frechet"]
    assert _parse_metrics("fd_dinov2", "dinov2:w.pth") == ["frechet"]


def test_an_alias_of_several_is_refused_where_one_is_expected():
    with pytest.raises(InputError, match="got 'prdc'"):
        check_metric_names([TuneSection(metric="prdc").metric])


def test_a_misspelt_alias_is_recognised():
    with pytest.raises(InputError, match="did you mean prdc"):
        check_metric_names(["prcd"])
