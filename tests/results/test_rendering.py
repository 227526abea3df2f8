"""Rendering of found graphs on tracks at other sample rates, and of other songs."""

from pathlib import Path

import pytest
import soundfile
import torch

from mixgraph.results.rendering import choose_rate, render_result
from mixgraph.songs import resample

RATE = 2000


def write_tracks(folder: Path, sources, rates: dict[str, int]) -> Path:
    folder.mkdir(parents=True)
    for (name, rate), audio in zip(rates.items(), sources, strict=True):
        soundfile.write(folder / f"{name}.wav", resample(audio, RATE, rate).T.numpy(), rate, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def saved(every_console, tmp_path_factory):
    """A saved graph of tracks kick, hat and lead, at 2 kHz."""
    place = tmp_path_factory.mktemp("saved") / "graph"
    every_console[0].save(place)
    return place


def test_a_mix_has_the_rate_of_the_files_and_the_sound_of_the_search(every_console, saved, tmp_path) -> None:
    found_graph, sources = every_console
    tracks = write_tracks(tmp_path / "tracks", sources, dict.fromkeys(("kick", "hat", "lead"), 8000))
    rendering = render_result(saved, tracks, tmp_path / "mix.wav")
    audio, rate = soundfile.read(tmp_path / "mix.wav", dtype="float32")
    assert (rate, rendering.sample_rate, rendering.searched_at) == (8000, 8000, RATE)
    assert rendering.rate_remark == "; the graph was found at 2000 Hz"
    expected = found_graph.at_sample_rate(8000).render(resample(sources, RATE, 8000))
    assert (torch.tensor(audio.T) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert render_result(saved, tracks, tmp_path / "s.wav", sample_rate="search").rate_remark.endswith("was found")
    assert soundfile.info(tmp_path / "s.wav").samplerate == RATE
    render_result(saved, tracks, tmp_path / "h.wav", sample_rate=11025, stems=tmp_path / "stems")
    assert {soundfile.info(path).samplerate for path in (tmp_path / "stems").rglob("*.wav")} == {11025}


def test_where_the_mix_cannot_be_written_there_are_no_stems_either(every_console, saved, tmp_path) -> None:
    """So that the same command can be given again when there is room."""
    tracks = write_tracks(tmp_path / "tracks", every_console[1], dict.fromkeys(("kick", "hat", "lead"), RATE))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"'.*file'"):
        render_result(saved, tracks, tmp_path / "file" / "mix.wav", stems=tmp_path / "stems")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tracks"]


def test_tracks_at_mixed_rates_are_rendered_at_the_highest_and_named(every_console, saved, tmp_path) -> None:
    tracks = write_tracks(tmp_path / "tracks", every_console[1], {"kick": 8000, "hat": 4000, "lead": 4000})
    rendering = render_result(saved, tracks, tmp_path / "mix.wav")
    line = (
        "Tracks have several sample rates; all is rendered at the highest, 8000 Hz, not at 4000 Hz: hat.wav, lead.wav."
    )
    assert rendering.notes[0] == line
    assert soundfile.info(tmp_path / "mix.wav").samplerate == 8000


@pytest.mark.parametrize("rate", [0, 10**9])
def test_rates_that_cannot_be_are_refused_before_anything_is_written(every_console, saved, tmp_path, rate) -> None:
    tracks = write_tracks(tmp_path / "tracks", every_console[1], dict.fromkeys(("kick", "hat", "lead"), RATE))
    with pytest.raises(ValueError, match=f"sample_rate: samples per second, .* got {rate}"):
        render_result(saved, tracks, tmp_path / "mix.wav", sample_rate=rate)
    with pytest.raises(ValueError, match="sample_rate: file, search or a number of Hz is needed, got 'studio'"):
        choose_rate("studio", RATE, [])
    soundfile.write(tracks / "kick.wav", [0.1], 1_000_000)
    with pytest.raises(ValueError, match=r"sample_rate \(that of the files\): .* got 1000000"):
        render_result(saved, tracks, tmp_path / "mix.wav")
    assert not (tmp_path / "mix.wav").exists()


def another_song(every_console, tmp_path, names):
    return write_tracks(tmp_path / "other", every_console[1], dict.fromkeys(names, RATE))


def test_another_songs_stems_are_found_by_similar_names_and_by_maps_and_all_are_listed(
    every_console, saved, tmp_path
) -> None:
    found_graph, sources = every_console
    tracks = another_song(every_console, tmp_path, ("01_KICK", "HiHat 2", "Lead!"))
    soundfile.write(tracks / "room.wav", [0.5, 0.5], RATE)
    rendering = render_result(saved, tracks, tmp_path / "mix.wav", maps={"hat": "HiHat 2.wav"})
    assert rendering.notes[:3] == (
        "Tracks found by similar name: kick (01_KICK.wav), lead (Lead!.wav).",
        "Tracks found by map: hat (HiHat 2.wav).",
        "Files that are no track of the graph, and are not heard: room.wav.",
    )
    audio = torch.tensor(soundfile.read(tmp_path / "mix.wav", dtype="float32")[0].T)
    expected = found_graph.render(sources)
    assert (audio - expected).abs().max() < 1e-5 * expected.abs().max()
    silent = render_result(saved, tracks, tmp_path / "silent.wav", maps={"hat": ""})
    assert "Tracks that are left silent: hat." in silent.notes
    sources = sources.clone()
    sources[1] = 0
    audio = torch.tensor(soundfile.read(tmp_path / "silent.wav", dtype="float32")[0].T)
    assert (audio - found_graph.render(sources)).abs().max() < 1e-5 * expected.abs().max()


def test_what_is_not_clear_is_not_guessed(every_console, saved, tmp_path) -> None:
    tracks = another_song(every_console, tmp_path, ("1 kick", "2 Kick", "lead"))
    message = (
        r'lacks kick, hat .*HINT: is it one of 1 kick.wav, 2 Kick.wav\? Rename that, or say which: --map "kick=1 k'
    )
    with pytest.raises(FileNotFoundError, match=message):
        render_result(saved, tracks, tmp_path / "mix.wav")
    with pytest.raises(
        ValueError, match=r"map: kick: one of the files of .* is needed .* got 'lead.wv'\. HINT: did you"
    ):
        render_result(saved, tracks, tmp_path / "mix.wav", maps={"kick": "lead.wv", "hat": ""})
    with pytest.raises(ValueError, match=r"map: one of the tracks kick, hat, lead is needed, got 'kik'"):
        render_result(saved, tracks, tmp_path / "mix.wav", maps={"kik": "lead"})
    with pytest.raises(ValueError, match=r"one track a file expected, got lead\.wav"):
        render_result(saved, tracks, tmp_path / "mix.wav", maps={"kick": "lead", "hat": ""})
    with pytest.raises(ValueError, match="map: a track that is not silent is needed"):
        render_result(saved, tracks, tmp_path / "mix.wav", maps={"kick": "", "hat": "", "lead": ""})
    assert not (tmp_path / "mix.wav").exists()
