"""What a result says to a person."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from callbacks.song_result import _unmeasured, summary, within_tolerance, write_song
from mixgraph import load_song
from mixgraph.graph import build_console
from mixgraph.losses import SongScore
from mixgraph.pruning import SongRecord
from mixgraph.search.module import ConsoleModule


def score(target: float, prediction: float) -> SongScore:
    return SongScore({"full": target}, {"full": prediction}, (target,), (prediction,), 84000)


def test_the_tolerance_is_of_the_loss_that_was_searched_by() -> None:
    """Paper eq. 7: at most the tolerance above the trained console."""
    console = score(0.5, 0.5)
    for found, by_target, by_prediction in [
        (score(0.5, 0.75), True, False),
        (score(0.75, 0.5), False, True),
        (score(0.625, 0.625), True, True),  # exactly the tolerance
        (score(0.6251, 0.6251), False, False),
        (score(float("nan"), float("nan")), False, False),
    ]:
        assert within_tolerance(console, found, 0.125, "target") is by_target
        assert within_tolerance(console, found, 0.125, "prediction") is by_prediction
    assert within_tolerance(console, score(2.0, 2.0), None, "target") is None


@pytest.mark.parametrize("within", [True, False, None])
@pytest.mark.parametrize(("denominator", "key"), [("target", "loss"), ("prediction", "loss_prediction")])
def test_a_graph_above_the_tolerance_is_named(within, denominator, key) -> None:
    """By the loss that was searched by."""
    both = ("loss", "loss_prediction")
    losses = {
        name: {key: {"full": loss}} | {k: {"full": loss + 9} for k in both if k != key}
        for name, loss in (("dry_sum", 2.0), ("console", 0.5), ("found", 0.625))
    }
    metrics = {
        "denominator": denominator,
        "steps": 30,
        "planned_steps": 30,
        "losses": losses,
        "num_processors": {"console": 8, "found": 2},
        "pruning_ratio": 0.75,
        "tolerance": 0.1,
        "within_tolerance": within,
        "verdict": {"words": "silent target", "findings": []},
    }
    said = summary(Path("out"), metrics)
    assert "dry sum 2.000, console 0.500, found graph 0.625" in said
    assert "2 of 8 left (75% pruned)" in said
    named = "0.125 above the console, more than the tolerance of 0.1. HINT: lower pruning.tolerance"
    assert (named in said) is (within is False)
    assert "Stopped" not in said
    assert "Stopped after 12 of 30 steps" in summary(Path("out"), metrics | {"steps": 12})


LOG = [{"step": 0, "stage": "console"}]


def write(folder: Path, song, chain: str = "eg"):
    """The result of a console as it starts, without a search."""
    folder.mkdir()
    module = ConsoleModule(chain, "", sample_rate=song.sample_rate)
    module.build(build_console(song.subgroups, chain, "", song.name))
    return write_song(folder, module, song, SongRecord(), LOG, steps=0)


def test_a_mono_mix_stays_mono_and_silent_tracks_are_folded(tiny_song, tmp_path, monkeypatch) -> None:
    song = load_song(tiny_song, 8000)
    sources = song.sources.clone()
    sources[1] = 0
    mono = replace(song, sources=sources, mix=song.mix.mean(dim=0).expand(2, -1).contiguous())
    metrics = write(tmp_path / "stereo", mono)
    assert [soundfile.info(tmp_path / "stereo" / f"mix_{name}.flac").channels for name in ("target", "found")] == [1, 2]
    assert [finding["code"] for finding in metrics["verdict"]["findings"]][-1] == "mono_mix"
    assert json.loads((tmp_path / "stereo" / "metrics.json").read_text())["verdict"] == metrics["verdict"]

    text = (tmp_path / "stereo" / "settings.txt").read_text()
    assert text.splitlines()[2].startswith("Verdict: ")
    assert "not measured: there was no search)" in text
    assert "\ntrack hat, silent over the whole mix " in text
    assert "\nWithout processors:\n  subgroup drums\n  subgroup lead\n" in text
    svg = (tmp_path / "stereo" / "graph.svg").read_text()
    assert svg.count('<g class="node"') == 12 - 3  # without hat and its chain

    monkeypatch.setattr("mixgraph.report.panels.ROWS", 1)
    monkeypatch.setattr("mixgraph.report.panels.COLUMNS", 2)
    metrics = write(tmp_path / "mono", mono, "ec")  # neither parts the channels
    assert [soundfile.info(tmp_path / "mono" / f"mix_{name}.flac").channels for name in ("target", "found")] == [1, 1]
    assert "mono_mix" not in [finding["code"] for finding in metrics["verdict"]["findings"]]
    pages = sorted(path.name for path in (tmp_path / "mono").glob("settings*.png"))
    assert pages == ["settings.png", "settings_2.png"]  # of kick and lead


def test_another_song_is_a_loud_line_of_the_summary(tiny_song, tmp_path) -> None:
    song = load_song(tiny_song, 8000)
    noise = 0.1 * torch.randn(song.mix.shape, generator=torch.Generator().manual_seed(0))
    alignment = tuple(replace(track, confidence=0.05) for track in song.alignment)
    other = replace(song, mix=noise, alignment=alignment)
    said = summary(tmp_path, write(tmp_path / "other", other))
    assert "  WARNING: Another song? No track has a place in the mix" in said
    assert said.index("Verdict: ") < said.index("WARNING") < said.index("Result in")


def test_why_loss_increases_are_missing_is_told() -> None:
    def told(increases, steps=30, planned=30):
        return _unmeasured(SongRecord(loss_increases=increases), steps, planned)

    assert told([0.1, 0.2]) == told([]) == ""
    assert told(None) == "pruning.leave_one_out is off"
    assert told(None, 12) == told([None, None], 12) == "the search was stopped after 12 of 30 steps"
    assert told([0.1, None]) == "the search was stopped while they were"
    assert told(None, 0, 0) == "there was no search"
