"""`sample_rate: song`: the rate of a song's mix, which then stands for it everywhere."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import soundfile

from datamodules import SongData
from mixgraph.songs.own_rate import resolve_rate


@pytest.fixture
def fast_song(tiny_song, tmp_path):
    """The tiny song, whose mix says 16 kHz, and one of its tracks 12 kHz."""
    song = shutil.copytree(tiny_song, tmp_path / "fast")
    for file, rate in (("mix.wav", 16000), ("tracks/hat.wav", 12000)):
        soundfile.write(song / file, soundfile.read(song / file)[0], rate, subtype="FLOAT")
    return song


def test_a_number_stands_whatever_the_files(tmp_path) -> None:
    assert resolve_rate(22050, [tmp_path / "none"]) == (22050, [])


def test_song_is_the_rate_of_the_mix_and_other_files_are_told(tiny_song, fast_song) -> None:
    assert resolve_rate("song", [tiny_song]) == (8000, ["Sample rate of the search: 8000 Hz, that of the mix."])
    rate, notes = resolve_rate("song", [fast_song])
    assert rate == 16000
    assert notes == [
        "Sample rate of the search: 16000 Hz, that of the mix; tracks are resampled to it: 2 at 8000 Hz, 1 at 12000 Hz."
    ]


def test_the_mix_may_be_elsewhere(tiny_song, tmp_path) -> None:
    soundfile.write(tmp_path / "master.wav", np.zeros((100, 2)), 48000)
    assert resolve_rate("song", [tiny_song / "tracks"], mix=tmp_path / "master.wav")[0] == 48000


def test_mixes_of_several_rates_and_missing_songs_are_refused(tiny_song, fast_song, tmp_path) -> None:
    with pytest.raises(
        ValueError, match=r"data\.sample_rate: song: mixes of one rate are needed, got 8000 Hz: .*16000"
    ):
        resolve_rate("song", [tiny_song, fast_song])
    with pytest.raises(FileNotFoundError, match="folder expected, got none"):
        resolve_rate("song", [tmp_path / "none"])
    (fast_song / "mix.wav").unlink()
    with pytest.raises(ValueError, match=r"mix"):
        resolve_rate("song", [fast_song])


def test_data_says_the_rate_and_not_the_word(fast_song) -> None:
    data = SongData(str(fast_song), sample_rate="song", warm_up_seconds=0.5)
    assert (data.sample_rate, data.settings["sample_rate"], data.warm_up) == (16000, 16000, 8000)
    assert data.settings["path"] == str(fast_song)
    assert "paths" not in data.settings
    assert data.song.sample_rate == 16000
