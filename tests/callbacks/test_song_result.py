"""What a result says to a person."""

from pathlib import Path

import pytest

from callbacks.song_result import summary


@pytest.mark.parametrize("within", [True, False, None])
def test_a_graph_above_the_tolerance_is_named(within) -> None:
    losses = {name: {"loss": {"full": loss}} for name, loss in (("dry_sum", 2.0), ("console", 0.5), ("found", 0.625))}
    metrics = {
        "steps": 30,
        "planned_steps": 30,
        "losses": losses,
        "num_processors": {"console": 8, "found": 2},
        "pruning_ratio": 0.75,
        "tolerance": 0.1,
        "within_tolerance": within,
    }
    said = summary(Path("out"), metrics)
    assert "dry sum 2.000, console 0.500, found graph 0.625" in said
    assert "2 of 8 left (75% pruned)" in said
    named = "0.125 above the console, more than the tolerance of 0.1. HINT: lower pruning.tolerance"
    assert (named in said) is (within is False)
    assert "Stopped" not in said
    assert "Stopped after 12 of 30 steps" in summary(Path("out"), metrics | {"steps": 12})
