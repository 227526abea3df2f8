"""A journal of a sweep that someone else made, or that was damaged, is refused by its name."""

import pytest

from mixgraph.sweeps.space import Range
from mixgraph.sweeps.study import Study
from mixgraph.sweeps.sweep_file import Metric

HOSTILE = {
    "no JSON": "garbage",
    "a list": "[1, 2]",
    "null": "null",
    "nested": "[" * 100_000,
    "unknown operation": '{"op_code": 99, "worker_id": "x"}',
    "nothing to do": '{"op_code": 4}',
    "digits": f'{{"op_code": {"9" * 5000}}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_line_that_is_none_of_a_journal_is_refused(name, tmp_path) -> None:
    path, ranges = tmp_path / "journal.log", (Range("a", 1, 0.0, 1.0, False, False, None),)
    Study(path, Metric("loss", "minimize"), ranges, 0).values(0)
    with path.open("a") as journal:
        journal.write(HOSTILE[name] + "\n")
    with pytest.raises(ValueError, match=r"journal\.log: is no journal of a sweep, or is damaged \(.+\)\. HINT"):
        Study(path, Metric("loss", "minimize"), ranges, 0)
