"""Runs, as tables of pages tell them."""

from tools.bench.machine import measured
from tools.figures import this_run


def test_a_run_tells_no_folder_of_its_file() -> None:
    told = this_run("faults", ["--fault", "full disk", "--out", "/somewhere/a.json", "--out=/b/c.json", "--only=fit"])
    assert told["command"] == "python -m tools.faults --fault 'full disk' --out a.json --out=c.json --only=fit"
    assert told == measured(told["command"], 1)
