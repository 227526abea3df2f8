"""The mixes of a result at the song's own sample rate, from its files."""

import shutil
from dataclasses import replace

import pytest
import soundfile
import torch
import yaml

from callbacks import ResultFolder
from callbacks.song_outcome import song_outcome
from mixgraph import load_result, load_song
from mixgraph.graph import build_console
from mixgraph.results.mixes import make_mixes
from mixgraph.results.summary import head_lines
from mixgraph.results.write import write_song
from mixgraph.search.module import ConsoleModule
from mixgraph.songs import resample
from mixgraph.songs.own_rate import OwnRateSong, own_rate

pytestmark = pytest.mark.usefixtures("blank_pictures")

SEARCHED, OWN = 4000, 8000


@pytest.fixture
def song_folder(tiny_song, tmp_path):
    """The tiny song; the hat's file has another rate, the kick is late and flipped, the lead early."""
    folder = shutil.copytree(tiny_song, tmp_path / "tiny")
    audio, _ = soundfile.read(folder / "tracks" / "hat.wav", dtype="float32")
    soundfile.write(folder / "tracks" / "hat.wav", resample(torch.tensor(audio), OWN, 11025).numpy(), 11025)
    description = yaml.safe_load((folder / "song.yaml").read_text())
    tracks = {"kick.wav": {"offset_seconds": 0.125, "polarity": -1}, "lead.wav": {"offset_samples": -776}}
    (folder / "song.yaml").write_text(yaml.safe_dump(description | {"tracks": tracks}))
    return folder


def outcome_of(folder, rate=SEARCHED, chain="ecg"):
    song = load_song(folder, rate)
    module = ConsoleModule(chain, "", sample_rate=rate)
    module.build(build_console(song.subgroups, chain, "", song.name))
    return song_outcome(module, song)


def test_files_are_read_piece_by_piece_as_they_were_loaded(song_folder) -> None:
    song, again = load_song(song_folder, SEARCHED), load_song(song_folder, OWN)
    assert own_rate(song) == OWN
    reader = OwnRateSong(song, OWN)
    pieces = [reader.read(start, min(start + 1000, 24500)) for start in range(0, 24500, 1000)]
    sources = torch.cat(pieces, dim=-1)
    assert torch.allclose(sources[..., :24000] * again.level, again.sources, atol=1e-7)
    assert float(sources[0, :, 24000:].abs().max()) == 0  # past the mix, and past the kick, which was read late
    assert torch.allclose(reader.mix * again.level, again.mix, atol=1e-7)
    with pytest.raises(ValueError, match="start: 24500 is next, got 0"):
        reader.read(0, 10)


@pytest.mark.long
def test_the_target_is_the_files_mix_and_the_found_mix_is_of_the_graph_at_its_rate(song_folder, tmp_path) -> None:
    outcome = outcome_of(song_folder)
    metrics = write_song(tmp_path, outcome).metrics
    assert (metrics.sample_rate, metrics.audio_sample_rate, metrics.num_samples) == (SEARCHED, OWN, 12000)
    target, rate = soundfile.read(tmp_path / "mix_target.flac", dtype="float32")
    mix = soundfile.read(song_folder / "mix.wav", dtype="float32")[0]
    assert rate == OWN
    assert abs(target - mix).max() < 2**-23  # of FLAC's 24 bits
    again = load_song(song_folder, OWN)
    expected = load_result(tmp_path).at_sample_rate(OWN).render(again.sources / again.level)
    found = torch.tensor(soundfile.read(tmp_path / "mix_found.flac", dtype="float32")[0].T)
    assert (found - expected).abs().max() < 1e-6
    line = "mix_target and mix_found have 8000 Hz; losses and pictures are of 4000 Hz, at which the graph was searched."
    assert line in head_lines(metrics)
    assert line in (tmp_path / "settings.txt").read_text()
    assert load_result(tmp_path).metrics == metrics


@pytest.mark.parametrize(("rule", "rate"), [("search", SEARCHED), ("song", OWN), (11025, 11025)])
def test_the_rate_of_the_mixes_can_be_chosen(song_folder, rule, rate) -> None:
    outcome = outcome_of(song_folder, chain="g")
    mixes = make_mixes(outcome, outcome.render(), rule)
    assert (mixes.sample_rate, mixes.notes) == (rate, ())
    assert mixes.target.shape == mixes.found.shape == (2, 3 * rate)
    searched = resample(mixes.found, rate, SEARCHED) * outcome.song.level
    inner = slice(300, -300)
    assert (searched - outcome.render())[:, inner].abs().max() < 0.1  # hat has more above 1.8 kHz


def test_what_keeps_the_mixes_from_their_rate_is_told(song_folder, monkeypatch) -> None:
    outcome = outcome_of(song_folder, chain="g")
    found = outcome.render()
    without = make_mixes(replace(outcome, song=replace(outcome.song, files=None)), found, "song")
    assert (without.sample_rate, without.notes) == (SEARCHED, ())
    (song_folder / "tracks" / "hat.wav").write_bytes((song_folder / "tracks" / "kick.wav").read_bytes())
    mixes = make_mixes(outcome, found, "song")
    assert torch.equal(mixes.found, found / outcome.song.level)
    (note,) = mixes.notes
    head = "mix_target, mix_found: their sample rate is 4000 Hz, that of the search, not 8000 Hz: "
    assert note == f"{head}{song_folder}: tracks/hat.wav changed since the song was read"
    (song_folder / "mix.wav").unlink()
    (note,) = make_mixes(outcome, found, "song").notes
    assert "not that of the song: " in note
    assert "mix.wav: audio file expected, got none" in note


@pytest.mark.parametrize("rule", ["studio", 0, 10**9])
def test_rules_that_are_none_are_refused_before_the_search(rule) -> None:
    with pytest.raises(ValueError, match=r"audio_rate: (song, search or a number of Hz is needed|samples per second)"):
        ResultFolder(audio_rate=rule)
