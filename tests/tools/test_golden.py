"""The check of two versions of the code: what it hashes, how it compares, and that its jobs are commands."""

import hashlib
import json

import pytest

from mixgraph.cli.commands import COMMANDS
from tools import golden


def test_every_file_is_hashed_but_those_with_times_and_paths(tmp_path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "graph.json").write_text("{}")
    (tmp_path / "job" / "timings.json").write_text("{}")
    assert golden.digests(tmp_path) == {"job/graph.json": hashlib.sha256(b"{}").hexdigest()}


def test_jobs_are_commands_with_names_of_their_own(tmp_path) -> None:
    jobs = list(golden.jobs(tmp_path / "demo", [tmp_path / "other"], tmp_path))
    names = [name for name, _ in jobs]
    assert len(set(names)) == len(names) == 18
    known = {command.name for command in COMMANDS}
    assert {command[2] for _, command in jobs if command[:2] == ["-m", "mixgraph"]} <= known


def test_a_file_that_differs_or_is_missing_ends_with_1(tmp_path, monkeypatch, capsys) -> None:
    def job(demo, songs, folder):
        yield "job", ["-c", f"open({str(folder / 'same')!r}, 'w').write('1'); open({str(folder / 'new')!r}, 'w')"]

    monkeypatch.setattr(golden, "jobs", job)
    before = tmp_path / "before.json"
    before.write_text(json.dumps({"same": hashlib.sha256(b"1").hexdigest(), "gone": "0"}))
    with pytest.raises(SystemExit) as end:
        golden.main(["--out", str(tmp_path / "after.json"), "--against", str(before)])
    assert end.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == ["gone is missing", "new is new", "1 files are equal"]
    with pytest.raises(SystemExit) as end:
        golden.main(["--out", str(tmp_path / "again.json"), "--against", str(tmp_path / "after.json")])
    assert end.value.code == 0
