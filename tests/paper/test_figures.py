"""Figures of real results of two small songs, and of chosen ones; what a figure refuses."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.graph.io import load_graph
from mixgraph.paper.dataset_table import dataset_table, read_built_set
from mixgraph.paper.figures.course import course_figure
from mixgraph.paper.figures.graphs import console_figure, console_of, runs_figure
from mixgraph.paper.figures.schedule_trees import tree_figure
from mixgraph.paper.figures.schedules import NAMES, order_figure
from mixgraph.paper.figures.spectrograms import match_figure
from mixgraph.paper.figures.statistics import statistics_figure
from mixgraph.paper.figures.weights import measured_increases, weights_figure
from mixgraph.paper.readings import read_search
from mixgraph.render import schedule
from mixgraph.render.schedule_tree import schedule_tree
from mixgraph.results.changes import processor_labels
from mixgraph.search.module import ConsoleModule
from mixgraph.search.run import search
from tests.conftest import make_song
from tools import paper_figures
from tools.paper.found import results_of

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def searched(tiny_song, tmp_path_factory):
    """The folder of a search of the tiny song, with the settings that a search on the command line has."""
    folder = tmp_path_factory.mktemp("paper") / "tiny"
    data = SongData(str(tiny_song), sample_rate=8000, steps_per_stage=2, scored_seconds=1.0, cache_dir=None)
    module = ConsoleModule("eg", "g", sample_rate=8000)
    result = ResultFolder(str(folder), page=False, log_every=1)
    result.config_text = lambda path: json.dumps(
        {
            "seed_everything": 42,
            "data": {"layout": "auto", "steps_per_stage": 2, "seed": 42, "path": "tiny"},
            "model": {"track_chain": "eg", "subgroup_chain": "g", "seed": 42},
            "pruning": {"sampler": "hybrid", "tolerance": 0.01, "rounds": 2, "console_stages": 2, "seed": 42},
            "result": {"path": "tiny"},
        },
        indent=0,
    )
    pruning = IterativePruning(2, 2, sampler="hybrid", tolerance=0.01)
    search(module, data, [pruning, result], 4, "cpu", enable_progress_bar=False)
    return folder


def test_a_console_is_built_again_from_the_settings_of_its_search(searched) -> None:
    reading = read_search(searched)
    console = console_of(reading, load_graph(searched / "graph.json").graph)
    assert len(console.processors) == reading.metrics.num_processors.console == 3 * 2 + 2
    assert processor_labels(console) == [processor.label for processor in measured_increases(reading)]
    drawn = (searched / "console.svg").read_text()  # the same of one search, with its weights
    measured = [processor.weight for processor in measured_increases(reading)]
    assert drawn.count('class="node"') == len(console) + len(load_graph(searched / "graph.json").graph)
    assert "Tiny: console, 8 processors" in drawn
    assert all(f">{weight:.2f}<" in drawn for weight in measured)
    shorter = {"model": reading.config["model"] | {"track_chain": "e"}}
    other = SimpleNamespace(**vars(reading) | {"config": reading.config | shorter})
    other.song = reading.song
    with pytest.raises(ValueError, match="has 5 processors, and its search began with 8, from another graph"):
        console_of(other, load_graph(searched / "graph.json").graph)
    figure = console_figure(reading)
    upper, lower = figure.axes
    assert upper.get_position().y0 >= lower.get_position().y1 - 1e-6  # one above the other
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert "Tiny: console, 8 processors" in texts
    assert any(
        text.startswith(f"Tiny: found graph, {reading.metrics.num_processors.found} processors") for text in texts
    )


def test_weights_and_loss_increases_are_those_of_the_trace(searched) -> None:
    figure = weights_figure([read_search(searched)])
    rows = [json.loads(line) for line in (searched / "trace.jsonl").read_text().splitlines()]
    expected = {
        (row["weight"], row["loss_increase"])
        for row in rows
        if row["kind"] == "leave_one_out" and row["when"] == "console"
    }
    drawn = {tuple(point) for points in figure.axes[0].collections for point in points.get_offsets().tolist()}
    assert drawn == expected
    assert len(figure.axes[0].collections) == 2  # equalizers and gains
    assert (searched / "loss_increases.png").is_file()  # the same of one search


def test_the_course_of_pruning_is_that_of_the_log(searched) -> None:
    reading = read_search(searched)
    figure = course_figure([reading])
    together, *by_type = figure.axes[:3]
    assert [axes.get_title() for axes in figure.axes[:3]] == ["all", "e: equalizer", "g: gain/panning"]
    assert together.lines[0].get_ydata()[-1] == pytest.approx(reading.metrics.pruning_ratio)
    shares = reading.metrics.pruning_ratio_by_type
    assert [axes.lines[0].get_ydata()[-1] for axes in by_type] == pytest.approx([*shares.values()])
    weights = load_graph(searched / "graph.json").weights
    means = figure.axes[3].lines[0].get_ydata()
    assert means[-1] == pytest.approx(float(weights.mean()) if len(weights) else np.nan, abs=0.02, nan_ok=True)


def test_nodes_hold_the_steps_in_which_they_are_processed(searched) -> None:
    figure = order_figure(read_search(searched))
    graph = load_graph(searched / "graph.json").graph
    titles = [
        next(text for text in axes.texts if " nodes" in text.get_text() or " steps" in text.get_text()).get_text()
        for axes in figure.axes
    ]
    assert titles == [
        f"Tiny: {len(graph)} nodes",
        *(
            f"{name}: {len(schedule(graph, method))} steps"
            for method, name in (("auto", NAMES["auto"]), ("greedy", "greedy"), ("one_by_one", "one by one"))
        ),
    ]
    shown = sorted(int(text.get_text()) for text in figure.axes[3].texts if text.get_text().isdecimal())
    assert shown == [*range(len(graph))]  # one by one


def test_the_tree_of_schedules_has_the_one_that_is_taken(searched) -> None:
    reading = read_search(searched)
    graph = load_graph(searched / "graph.json").graph
    tree, taken = schedule_tree(graph), schedule(graph)
    drawn, counted = tree_figure(reading).axes
    assert drawn.get_title() == f"Tiny: {len(graph)} nodes, all schedules"
    assert counted.get_title().startswith(f"shortest: {len(taken)} steps, taken: {len(taken)}; ")
    assert sum(len(lines.get_segments()) for lines in drawn.collections) == sum(tree.sequences) - 1
    (path,) = (line for line in drawn.lines if len(line.get_xdata()) > 1)
    assert len(path.get_xdata()) == len(taken)


def test_matches_are_rows_under_their_target(searched, tiny_song) -> None:
    reading = read_search(searched)
    figure = match_figure([reading], tiny_song)
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels[0].startswith("target")
    assert labels[1].startswith("dry sum\nL ")
    assert labels[2].startswith("hybrid, τ 0.01\nL ")
    with pytest.raises(ValueError, match=r"song: .* has other tracks than the song of"):
        match_figure([reading], _without_a_track(tiny_song, searched.parent))
    reordered = shutil.copytree(tiny_song, searched.parent / "reordered")
    (reordered / "song.yaml").write_text("subgroups: {lead: [lead.wav], drums: [hat.wav, kick.wav]}\n")
    assert [axes.get_ylabel() for axes in match_figure([reading], reordered).axes if axes.get_ylabel()] == labels
    namesake = make_song(searched.parent / "namesake", seed=1)  # of the same names, with another hi-hat
    with pytest.raises(ValueError, match=r"song: .*namesake has other tracks than the song of"):
        match_figure([reading], namesake)
    base = SimpleNamespace(**vars(reading) | {"is_pruned": False, "chain": "", "song": reading.song})
    labels = [axes.get_ylabel() for axes in match_figure([base, reading, reading, reading], tiny_song).axes]
    names = [label.partition("\n")[0] for label in labels if "\nL " in label]
    assert names == ["dry sum", *["hybrid, τ 0.01"] * 3]  # no row is lost, and the dry sum is there once


def _without_a_track(song, folder):
    other = folder / "other_song"
    shutil.copytree(song, other)
    (other / "tracks" / "hat.wav").unlink()
    (other / "song.yaml").unlink()
    return other


def test_repeated_searches_need_one_song_and_different_seeds(searched) -> None:
    reading = read_search(searched)
    again = SimpleNamespace(**vars(reading) | {"config": reading.config | {"seed_everything": 43}})
    again.song, again.is_pruned = reading.song, True
    assert len(runs_figure([reading, again]).axes) == 2
    with pytest.raises(ValueError, match="searches by different seeds are needed, got seeds 42, 42"):
        runs_figure([reading, reading])


@pytest.fixture
def built(searched, tmp_path):
    """A data set of three songs, of which one is accepted, one breaks a rule, and one failed."""
    rows = []
    for song, status in (("good", "accepted"), ("odd", "rejected")):
        shutil.copytree(searched, tmp_path / "set" / "results" / song / "run_0")
        rows.append({"song": song, "status": status, "reasons": [], "search": {"best_run": 0}})
    rows.append({"song": "lost", "status": "failed", "reasons": ["no mix"], "search": None})
    (tmp_path / "set" / "songs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "set"


def test_a_data_set_before_and_after_its_quality_rules(built, searched) -> None:
    data_set = read_built_set("MedleyDB", built)
    table = dataset_table([data_set])
    assert [(row["data_set"], row["songs"], row["count"]) for row in table.rows] == [
        ("MedleyDB", "every searched song", 2),
        ("MedleyDB", "accepted songs", 1),
        ("all", "every searched song", 2),
        ("all", "accepted songs", 1),
    ]
    metrics = read_search(searched).metrics
    assert table.rows[0]["loss_prediction"] == metrics.losses.found.loss_prediction["full"]
    assert [row.get("paper_loss") for row in table.rows] == [0.431, None, 0.506, None]
    assert "No result of lost (MedleyDB): no mix." in table.notes
    figure = statistics_figure([data_set])
    heights = [sum(patch.get_height() for patch in axes.patches) for axes in figure.axes]
    assert heights == [2.0] * 6 + [1.0] * 6
    counts = [axes for number, axes in enumerate(figure.axes) if number % 6 < 5]
    assert all(tick % 1 == 0 for axes in counts for tick in (*axes.get_xticks(), *axes.get_yticks()))
    assert figure.axes[5].get_xlim() == (0, 1)
    assert figure.axes[2].get_title() == "console's processors: mean 8\n(paper 247.6)"
    for make in (dataset_table, statistics_figure):
        with pytest.raises(ValueError, match="each name once and none of them 'all', got MedleyDB, MedleyDB"):
            make([data_set, data_set])
    with pytest.raises(FileNotFoundError, match=r"songs\.jsonl is missing"):
        read_built_set("x", searched)


def test_a_folder_of_tables_gives_each_figure_its_results(searched, tmp_path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "settings.json").write_text("{}")
    for name in ("hybrid_0.01/results/tiny/run_0", "hybrid_0.01/results/tiny/run_1"):
        shutil.copytree(searched, tables / "searches" / name)
    assert [reading.folder.name for reading in results_of("11", [tables], [])] == ["run_0", "run_1"]
    assert [reading.folder.name for reading in results_of("4", [tables], ["t*"])] == ["run_0"]
    with pytest.raises(ValueError, match="no searches by the default method of these songs"):
        results_of("3", [tables], ["other"])
    with pytest.raises(ValueError, match="run_0: is there twice; each result is needed once"):
        results_of("3", [tables, tables / "searches/hybrid_0.01/results/tiny/run_0"], [])


def test_trials_of_a_sweep_that_were_stopped_are_left_out_and_named(searched, tmp_path, capsys) -> None:
    for name, state in (("trial_000", "done"), ("trial_001", "stopped"), ("trial_000_seed_1", "done")):
        shutil.copytree(searched, tmp_path / "trials" / name)
        (tmp_path / "trials" / name / "job.json").write_text(json.dumps({"state": state}))
    (tmp_path / "record.json").write_text("{}")
    assert [reading.folder.name for reading in results_of("10", [tmp_path], [])] == ["trial_000"]
    assert capsys.readouterr().err.endswith("left out, for they were stopped early: trial_001\n")
    (tmp_path / "trials/trial_000/job.json").write_text('{"state": "run"}')
    with pytest.raises(ValueError, match="done or stopped is needed, got 'run'"):
        results_of("10", [tmp_path], [])


def test_the_command_writes_a_figure_and_keeps_files(searched, tmp_path, capsys) -> None:
    out = tmp_path / "pictures" / "figure_4.svg"
    assert paper_figures.main(["4", str(searched), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text().startswith("<?xml")
    with pytest.raises(FileExistsError, match="exists and is kept"):
        paper_figures.main(["4", str(searched), "--out", str(out)])
    with pytest.raises(ValueError, match=r"ends with \.svg or \.png is needed"):
        paper_figures.main(["4", str(searched), "--out", str(tmp_path / "figure.pdf")])
    unfinished = tmp_path / "unfinished"
    shutil.copytree(searched, unfinished)
    (unfinished / "timings.json").unlink()
    with pytest.raises(ValueError, match="unfinished: a complete result is needed"):
        paper_figures.main(["4", str(unfinished), "--out", str(tmp_path / "figure.png")])
    other = tmp_path / "other"
    shutil.copytree(searched, other)
    timings = json.loads((other / "timings.json").read_text())
    (other / "timings.json").write_text(json.dumps(timings | {"version": "0.0.1"}))
    with pytest.raises(ValueError, match=r"other is of version 0\.0\.1"):
        paper_figures.main(["4", str(searched), str(other), "--out", str(tmp_path / "figure.png")])


def test_a_console_without_measured_increases_is_refused(searched, tmp_path) -> None:
    folder = tmp_path / "unmeasured"
    shutil.copytree(searched, folder)
    (folder / "trace.jsonl").write_text("")
    with pytest.raises(ValueError, match="unmeasured: the loss increases of the console's processors are needed"):
        weights_figure([read_search(folder)])
    assert len(console_figure(read_search(folder)).axes) == 2  # drawn without weights
