"""The files that are written of a song, and what they say to a person."""

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from callbacks.song_outcome import song_outcome
from mixgraph import load_result, load_song
from mixgraph.graph import build_console
from mixgraph.pruning import SongRecord
from mixgraph.results.metrics import Metrics, read_metrics
from mixgraph.results.outcome import SearchRun
from mixgraph.results.summary import summarise
from mixgraph.results.write import why_unmeasured, write_song
from mixgraph.search.module import ConsoleModule


def write(folder: Path, song, chain: str = "eg") -> Metrics:
    """The result of a console as it starts, without a search."""
    folder.mkdir()
    module = ConsoleModule(chain, "", sample_rate=song.sample_rate)
    module.build(build_console(song.subgroups, chain, "", song.name))
    return write_song(folder, song_outcome(module, song)).metrics


@pytest.mark.long
def test_a_mono_mix_stays_mono_and_silent_tracks_are_folded(tiny_song, tmp_path, monkeypatch) -> None:
    song = load_song(tiny_song, 8000)
    sources = song.sources.clone()
    sources[1] = 0
    mono = replace(song, sources=sources, mix=song.mix.mean(dim=0).expand(2, -1).contiguous())
    metrics = write(tmp_path / "stereo", mono)
    assert [soundfile.info(tmp_path / "stereo" / f"mix_{name}.flac").channels for name in ("target", "found")] == [1, 2]
    assert metrics.verdict.findings[-1].code == "mono_mix"
    assert read_metrics(tmp_path / "stereo") == metrics
    result = load_result(tmp_path / "stereo")
    assert (result.metrics, result.log(), result.trace()) == (metrics, [{"step": 0, "stage": "console"}], [])

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
    assert "mono_mix" not in [finding.code for finding in metrics.verdict.findings]
    pages = sorted(path.name for path in (tmp_path / "mono").glob("settings*.png"))
    assert pages == ["settings.png", "settings_2.png"]  # of kick and lead


def test_another_song_is_a_loud_line_of_the_summary(tiny_song, blank, tmp_path) -> None:
    song = load_song(tiny_song, 8000)
    noise = 0.1 * torch.randn(song.mix.shape, generator=torch.Generator().manual_seed(0))
    alignment = tuple(replace(track, confidence=0.05) for track in song.alignment)
    other = replace(song, mix=noise, alignment=alignment)
    with blank():
        text = summarise(tmp_path, write(tmp_path / "other", other, "g"))
    assert "  WARNING: Another song? No track has a place in the mix" in text
    assert text.index("Verdict: ") < text.index("WARNING") < text.index("Result in")


def test_why_loss_increases_are_missing_is_told() -> None:
    def why(increases, steps=30, planned=30):
        return why_unmeasured(SearchRun(SongRecord(loss_increases=increases), [], steps, planned))

    assert why([0.1, 0.2]) == why([]) == ""
    assert why(None) == "pruning.leave_one_out is off"
    assert why(None, 12) == why([None, None], 12) == "the search was stopped after 12 of 30 steps"
    assert why([0.1, None]) == "the search was stopped while they were"
    assert why_unmeasured(None) == "there was no search"


def test_a_mix_that_is_not_finite_is_refused_with_what_to_do(tiny_song, tmp_path) -> None:
    song = load_song(tiny_song, 8000)
    module = ConsoleModule("g", "", sample_rate=8000)
    module.build(build_console(song.subgroups, "g", "", song.name))
    broken = replace(song, sources=song.sources * float("inf"))
    with pytest.raises(FloatingPointError, match=r"graph of tiny makes is not finite\. HINT: a lower model\.optimizer"):
        write_song(tmp_path, song_outcome(module, broken))
    run = SearchRun(SongRecord(), [], 1, 1, failure="It broke.")
    with pytest.raises(FloatingPointError, match=r"graph of tiny makes is not finite\. It broke\."):
        write_song(tmp_path, song_outcome(module, broken, run))
    assert not list(tmp_path.iterdir())
