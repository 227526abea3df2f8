"""`paper-tables` with real searches, and what it refuses."""

import contextlib
import io
import json
import shutil
from importlib.metadata import version

import pytest

from mixgraph.dataset import FileHashes, find_sources
from mixgraph.dataset.files import write_json
from mixgraph.paper.published import CHAINS, METHODS
from tools import paper_tables
from tools.bench.recipe import Recipe
from tools.paper import searches
from tools.paper.variants import variants

TINY = ("--data.sample_rate=8000", "--data.scored_seconds=1.0", "--data.cache_dir=null", "--trainer.accelerator=cpu")
SMALL = ("--model.track_chain=g", "--model.subgroup_chain=g", *TINY)


def run(*arguments):
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as end:
        paper_tables.main([*map(str, arguments)])
    return output.getvalue() + errors.getvalue(), end.value.code


def test_each_search_is_made_once_and_those_that_others_begin_from_first() -> None:
    recipe = Recipe(6000, 12, 500)
    chosen = variants(["1", "2", "5", "6"], recipe, 4)
    assert chosen[0].name == "hybrid_0.01"
    assert "--result.keep_console=true" in chosen[0].arguments
    names = [variant.name for variant in chosen]
    assert len(set(names)) == len(names) == len(METHODS) + len(CHAINS)
    assert {variant.begins_from for variant in chosen[1:5]} == {"hybrid_0.01"}
    consoles = chosen[5:]
    assert [variant.row for variant in consoles] == [*CHAINS]
    assert all("--pruning.console_stages=24" in variant.arguments for variant in consoles)  # 12k steps, as printed
    assert len(variants(["10"], recipe, 4)) == 3 * 8
    assert [variant.runs for variant in variants(["11"], recipe, 4)] == [4]


def test_options_that_cannot_be_used_are_refused(tmp_path, tiny_song) -> None:
    with pytest.raises(SystemExit):
        paper_tables.parse(["2", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        paper_tables.parse(["3", "--out", str(tmp_path)])
    _, code = run("2", "--songs", tiny_song, "--out", tmp_path, "--", "--pruning.rounds=3")
    assert code == "paper_tables: --pruning.rounds=3: the tables set these. HINT: --schedule, --songs, --seed, --out"
    _, code = run("2", "--songs", tiny_song, "--schedule", 5, 1, 2, "--out", tmp_path)
    assert "CONSOLE a multiple of STEPS, got 5 1 2" in code
    _, code = run("2", "--songs", f"all={tiny_song}", "--schedule", 4, 1, 2, "--out", tmp_path)
    assert "all is the row of all data sets together. HINT: another NAME=PATH" in code


def test_a_failure_of_a_song_that_is_not_asked_for_is_not_told(tmp_path) -> None:
    """It stays in the folder when the next command names other songs."""
    (variant,) = variants(["11"], Recipe(4, 1, 2), 1)
    searches._folder(tmp_path, variant.name).add_failure("odd", 0, "no audio\nat all", "", 1, False)
    told = []
    for names in ({}, {"odd": "mine"}):
        songs = searches.ChosenSongs([], names, [], {"damaged": "damaged: 1 problem\n- mix.wav: is empty"})
        told.append(searches._read(tmp_path, [variant], songs, {variant.name: {}}).reasons)
    damaged = {"damaged": "damaged: 1 problem - mix.wav: is empty"}
    assert told == [damaged, damaged | {"odd": "hybrid_0.01: no audio at all"}]


def test_a_table_that_cannot_be_made_does_not_stop_the_others(make_reading) -> None:
    recipe = Recipe(4, 1, 2)
    readings = {variant.name: {} for variant in variants(["2"], recipe, 1)}  # of these, all searches failed
    readings |= {
        variant.name: {"a": [make_reading("a", rounds=0, chain=variant.row)]} for variant in variants(["1"], recipe, 1)
    }
    results = searches.Results(readings, {"a": "mine"}, {"a": "hybrid_0.01: out of memory"})
    tables, unmade = paper_tables.tables_of(["2", "1", "11"], results, recipe)
    assert [table.name for table in tables] == ["table_1"]
    assert "none has a result for every row of the table" in unmade["2"]
    assert "a (hybrid_0.01: out of memory)" in unmade["2"]


def test_no_search_begins_from_a_console_of_other_settings(tiny_song, tmp_path) -> None:
    """Where the search that should have replaced it failed, it is still there."""
    default, other = variants(["2"], Recipe(4, 1, 2), 1)[:2]
    sources, _ = find_sources([str(tiny_song)], FileHashes(tmp_path / "hashes.json"))
    begins = []
    for rate in (0.01, 0.02):
        data = {"sample_rate": 8000, "steps_per_stage": 2, "warm_up_seconds": 1.0, "scored_seconds": 1.0}
        model, pruning = {"optimizer": {"learning_rate": rate}}, {"console_stages": 2, "rounds": 1}
        settings = {"data": data, "model": model, "pruning": pruning}
        both = {variant.name: settings for variant in (default, other)}
        (search,) = searches._searches(tmp_path, default, sources, both, True)
        if not begins:
            kept = search.folder.result(search.job) / "console.ckpt"
            kept.parent.mkdir(parents=True)
            kept.touch()
            write_json(kept.with_name("job.json"), search.job.record())
        begins += [search.checkpoint for search in searches._searches(tmp_path, other, sources, both, True)]
    assert begins == [str(kept), ""]


@pytest.mark.long
@pytest.mark.usefixtures("warm_workers")
def test_tables_of_searches_that_are_made_once(tiny_song, tmp_path, monkeypatch) -> None:
    """A damaged song is named, and does not stop the other; a second run has nothing to do, whatever its version."""
    songs = tmp_path / "songs"
    shutil.copytree(tiny_song, songs / "good")
    shutil.copytree(tiny_song, songs / "odd")
    (songs / "odd" / "mix.wav").write_bytes(b"no audio")
    arguments = ["2", "6", "--songs", f"MedleyDB={songs}", "--schedule", 4, 1, 2, "--out", tmp_path / "out"]
    arguments += ["--workers=2", "--threads=1", "--", *SMALL]
    output, code = run(*arguments)
    assert code == 1, output
    assert "failed: odd: " in output
    table = json.loads((tmp_path / "out" / "table_2.json").read_text())
    assert [(row["method"], row.get("tolerance")) for row in table["rows"]] == [
        ("Mix console", None),
        ("Brute-force", "0.01"),
        ("Dry/wet", "0.01"),
        ("Hybrid", "0.001"),
        ("Hybrid", "0.01"),
        ("Hybrid", "0.1"),
    ]
    assert any(note.startswith("Left out, since not every row has it: odd (") for note in table["notes"])
    assert table["about"]["songs"] == {"good": "MedleyDB"}
    for suffix in ("md", "tex", "csv"):
        assert (tmp_path / "out" / f"table_6.{suffix}").is_file()
    kept = tmp_path / "out" / "searches" / "hybrid_0.01" / "results" / "good" / "run_0"
    assert (kept / "console.ckpt").is_file()
    rows = table["rows"]
    metrics = json.loads((kept / "metrics.json").read_text())
    assert rows[0]["loss_prediction"] == metrics["losses"]["console"]["loss_prediction"]["full"]
    assert rows[4]["loss"] == metrics["losses"]["found"]["loss"]["full"]
    here = version("mixgraph")
    monkeypatch.setattr("tools.paper.searches.version", lambda name: "99")
    again, _ = run(*arguments)
    assert "1 searches: 1 done before, 0 to do." in again
    assert "4 searches: 4 done before, 0 to do." in again
    assert json.loads((tmp_path / "out" / "table_2.json").read_text()) == table
    shutil.rmtree(kept.parents[3] / "dry_wet_0.01" / "results")
    _, code = run(*arguments)
    assert f"has searches of version {here} of mixgraph, and those that are missing would be of 99: no table" in code
    arguments[5:8] = [6, 1, 2]
    output, code = run(*arguments)
    assert isinstance(code, str), output
    assert "holds searches of other settings (schedule: [4, 1, 2] -> [6, 1, 2])" in code
