"""The log of a search on the disk."""

import pytest

from genlib.tuning.trial_log import read_trial_log


@pytest.mark.parametrize(
    "content", ["", '{"seconds": 1, "tri', "[]", "null", '{"seconds": 1.0, "trials": {"a": {"x": 1}}}']
)
def test_a_log_cut_short_is_set_aside_and_the_search_begins_again(tmp_path, content, capsys):
    """Files cut short by a power failure: every later `make tune` ended in a traceback."""
    path = tmp_path / "trial_log.json"
    path.write_text(content)
    assert read_trial_log(path) == (0.0, {})
    assert not path.exists() and (tmp_path / "trial_log.broken").read_text() == content
    assert str(path) in capsys.readouterr().err
