"""Loading: lengths, channels, rates, level, alignment, and songs mapped from files."""

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from mixgraph.songs import Song, SongWarning, TrackAlignment, load_song, read_window, resample
from mixgraph.songs.clips import cut
from mixgraph.songs.load import check_sound
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.store import map_new


def test_mono_is_on_both_channels_at_full_level_and_stereo_stays(make):
    folder = make.folder()
    stereo, twice = make.noise(make.rate, 2, 7), np.repeat(make.noise(make.rate, 1, 8), 2, axis=1)
    make.save(folder / "tracks" / "c_stereo.wav", stereo)
    make.save(folder / "tracks" / "d_twice.wav", twice)
    song = load_song(folder, make.rate, loudness_lufs=None, subgrouping="one_per_track")
    assert song.tracks == ("a_kick", "b_bass", "c_stereo", "d_twice")
    assert song.mono == (True, True, False, True)
    assert song.sources.shape == (4, 2, make.rate)
    assert song.sources.dtype == song.mix.dtype == torch.float32
    kick = make.noise(make.rate, 1, 0).astype(np.float32)[:, 0]
    assert np.array_equal(song.sources[0].numpy(), np.stack([kick, kick]))
    assert np.array_equal(song.sources[2].numpy(), stereo.astype(np.float32).T)
    assert np.array_equal(song.sources[3].numpy(), twice.astype(np.float32).T)
    assert (song.num_samples, song.sample_rate, song.level, song.warnings) == (make.rate, make.rate, 1.0, ())


def test_a_mono_mix_becomes_stereo(make):
    folder = make.folder()
    make.save(folder / "mix.wav", make.noise(make.rate, 1, 3))
    song = load_song(folder, make.rate, loudness_lufs=None)
    expected = make.noise(make.rate, 1, 3).astype(np.float32)[:, 0]
    assert np.array_equal(song.mix.numpy(), np.stack([expected, expected]))


def test_the_mix_sets_the_length(make):
    folder = make.folder()
    short, long = make.noise(5000, 1, 3), make.noise(9000, 1, 4)
    make.save(folder / "tracks" / "a_kick.wav", short)
    make.save(folder / "tracks" / "b_bass.wav", long)
    song = load_song(folder, make.rate, loudness_lufs=None)
    assert np.array_equal(song.sources[0, 0, :5000].numpy(), short.astype(np.float32)[:, 0])
    assert not song.sources[0, :, 5000:].any()
    assert np.array_equal(song.sources[1, 0].numpy(), long.astype(np.float32)[: make.rate, 0])
    peak_db = 20 * np.log10(np.abs(long[make.rate :]).max())
    text = f"track b_bass: audio before or after the mix was cut (its peak is {peak_db:.1f} dBFS)"
    assert song.warnings == (SongWarning("cut_track", text),)


def test_a_silent_end_is_cut_without_a_warning(make):
    folder = make.folder()
    make.save(folder / "tracks" / "a_kick.wav", np.concatenate([make.noise(make.rate), np.zeros((50, 1))]))
    assert load_song(folder, make.rate).warnings == ()


def test_files_of_different_rates_are_resampled_to_one(make):
    folder = make.folder()
    tracks = {"a_kick.wav": make.noise(16000, 1, 1), "b_bass.wav": make.noise(11025, 1, 2)}
    for (name, samples), rate in zip(tracks.items(), (16000, 11025), strict=True):
        make.save(folder / "tracks" / name, samples, rate=rate)
    song = load_song(folder, 10000, loudness_lufs=None)
    assert song.sources.shape == (2, 2, 10000)
    for row, (samples, rate) in enumerate(zip(tracks.values(), (16000, 11025), strict=True)):
        assert torch.equal(song.sources[row, 0], resample(torch.from_numpy(samples.T).float(), rate, 10000)[0])


def test_a_silent_track_is_kept_with_a_warning(make):
    folder = make.folder()
    make.save(folder / "tracks" / "b_bass.wav", np.zeros((100, 1)))
    song = load_song(folder, make.rate)
    assert song.tracks == ("a_kick", "b_bass")
    assert song.warnings == (SongWarning("silent_track", "track b_bass: silent over the whole mix"),)
    assert song.alignment[1] == TrackAlignment(0, 1, 0.0, "b_bass", applied=False)


def test_one_factor_levels_the_tracks_and_the_mix(make):
    folder = make.folder()
    plain = load_song(folder, make.rate, loudness_lufs=None)
    song = load_song(folder, make.rate, loudness_lufs=-23.0)
    assert integrated_loudness(song.mix, make.rate) == pytest.approx(-23.0, abs=1e-4)
    assert torch.equal(song.mix, plain.mix * song.level)
    assert torch.equal(song.sources, plain.sources * song.level)
    assert song.level < 1.0


def test_a_silent_or_short_mix_keeps_its_level(make):
    folder = make.folder()
    make.save(folder / "mix.wav", np.zeros((make.rate, 1)))
    song = load_song(folder, make.rate)
    silent = SongWarning("silent_mix", "the mix is silent (below -70 LUFS): its level was left")
    assert (song.level, song.warnings) == (1.0, (silent,))
    unleveled = load_song(folder, make.rate, loudness_lufs=None)
    assert unleveled.warnings == (SongWarning("silent_mix", "the mix is silent"),)
    make.save(folder / "mix.wav", make.noise(1))
    song = load_song(folder, make.rate)
    assert (song.level, song.sources.shape) == (1.0, (2, 2, 1))
    assert song.warnings[0].code == "short_mix"
    assert song.warnings[0].text.startswith("the mix is shorter than 0.4 s")


def _shifted_song(make):
    """A kick that is 50 samples late and flipped; the mix is the sum of the tracks as they should be."""
    folder = make.folder()
    kick, bass = make.noise(make.rate + 50, 1, 0), make.noise(make.rate, 1, 1)
    make.save(folder / "tracks" / "a_kick.wav", np.concatenate([np.zeros((50, 1)), -kick]))
    make.save(folder / "mix.wav", np.repeat(kick[: make.rate] + bass, 2, axis=1))
    return folder, kick[: make.rate, 0].astype(np.float32)


def test_alignment_is_reported_and_left(make):
    folder, kick = _shifted_song(make)
    song = load_song(folder, make.rate, loudness_lufs=None)
    alignment = song.alignment[0]
    assert (alignment.track, alignment.offset_samples, alignment.polarity, alignment.applied) == (
        "a_kick",
        50,
        -1,
        False,
    )
    assert (song.alignment[1].offset_samples, song.alignment[1].polarity) == (0, 1)
    assert np.array_equal(song.sources[0, 0, 50:].numpy(), -kick[:-50])
    assert "track a_kick: seems 50 samples late and of opposite polarity against the mix (conf" in song.warnings[1].text
    assert [warning.code for warning in song.warnings] == ["cut_track", "track_offset"]


def test_alignment_is_applied_when_asked_for_with_the_audio_past_the_end(make):
    folder, kick = _shifted_song(make)
    song = load_song(folder, make.rate, loudness_lufs=None, apply_alignment=True)
    assert [track.applied for track in song.alignment] == [True, True]
    assert np.array_equal(song.sources[0, 0].numpy(), kick)
    assert "track_offset" not in [warning.code for warning in song.warnings]


def test_a_doubtful_alignment_is_not_applied(make):
    folder = make.folder()
    make.save(folder / "tracks" / "a_kick.wav", make.noise(make.rate, 1, 99))  # not in the mix at all
    plain = load_song(folder, make.rate)
    song = load_song(folder, make.rate, apply_alignment=True)
    assert song.alignment[0].confidence < 0.2
    assert [track.applied for track in song.alignment] == [False, True]
    assert torch.equal(song.sources, plain.sources)


def test_stated_settings_come_before_the_estimate(make):
    folder, kick = _shifted_song(make)
    (folder / "song.yaml").write_text("tracks: {a_kick.wav: {offset_samples: 50, polarity: -1}}")
    song = load_song(folder, make.rate, loudness_lufs=None)
    assert np.array_equal(song.sources[0, 0].numpy(), kick)
    assert (song.alignment[0].offset_samples, song.alignment[0].polarity) == (0, 1)


def test_hashes_are_those_of_the_files(make):
    song = load_song(make.folder(), make.rate)
    assert list(song.file_hashes) == ["mix.wav", "tracks/a_kick.wav", "tracks/b_bass.wav"]
    for name, digest in song.file_hashes.items():
        assert digest == hashlib.sha256((make.root / "song" / name).read_bytes()).hexdigest()


def _same(first: Song, second: Song) -> None:
    assert torch.equal(first.sources, second.sources)
    assert torch.equal(first.mix, second.mix)
    for name in ("level", "mono", "alignment", "warnings", "file_hashes", "subgroups", "title"):
        assert getattr(first, name) == getattr(second, name)


def test_a_mapped_song_equals_one_in_memory(make, tmp_path):
    folder, _ = _shifted_song(make)
    cache = tmp_path / "cache"
    in_memory = load_song(folder, 5000)
    mapped = load_song(folder, 5000, cache_dir=cache, memory_limit_gb=0.0)
    assert (in_memory.memory_limit, mapped.memory_limit) == (4e9, 0.0)
    _same(in_memory, mapped)
    entries = list(cache.iterdir())
    assert [sorted(path.name for path in entry.iterdir()) for entry in entries] == [
        ["mix.npy", "song.json", "sources.npy"]
    ]
    assert entries[0].name.startswith("song-")

    mapped.sources[0, 0, 0] = 7.0  # memory only
    _same(in_memory, load_song(folder, 5000, cache_dir=cache, memory_limit_gb=0.0))


def test_a_cached_song_is_not_decoded_again(make, tmp_path, monkeypatch):
    folder = make.folder()
    first = load_song(folder, make.rate, cache_dir=tmp_path / "cache", memory_limit_gb=0.0)
    decoded = []
    monkeypatch.setattr("mixgraph.songs.load._fill", lambda *arguments: decoded.append(arguments))
    _same(first, load_song(folder, make.rate, cache_dir=tmp_path / "cache", memory_limit_gb=0.0))
    assert decoded == []


@pytest.mark.parametrize(
    "change", [{"sample_rate": 6000}, {"loudness_lufs": None}, {"apply_alignment": True}, {"subgrouping": "auto"}]
)
def test_a_setting_or_file_that_changes_the_values_makes_a_new_entry(make, tmp_path, change):
    folder = make.folder(settings={"subgroups": {"a": ["b_bass.wav", "a_kick.wav"]}})
    settings = {"sample_rate": make.rate, "subgrouping": "rule", "cache_dir": tmp_path / "c", "memory_limit_gb": 0.0}
    load_song(folder, **settings)
    _same(
        load_song(folder, **{**settings, **change}), load_song(folder, **{**settings, **change, "memory_limit_gb": 1})
    )
    assert len(list((tmp_path / "c").iterdir())) == 2
    make.save(folder / "tracks" / "a_kick.wav", make.noise(make.rate, 1, 42))
    load_song(folder, **settings)
    assert len(list((tmp_path / "c").iterdir())) == 3


def test_a_song_with_problems_leaves_nothing_in_the_cache(make, tmp_path):
    folder = make.folder()
    make.save(folder / "tracks" / "b_bass.wav", np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="finite samples expected"):
        load_song(folder, make.rate, cache_dir=tmp_path / "cache", memory_limit_gb=0.0)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, -np.inf, 12345.0, -1000.5])
def test_absurd_samples_are_refused_by_file_and_place(make, value):
    folder = make.folder()
    mix = make.noise(make.rate, 2)
    mix[4000, 1] = mix[5000, 0] = value
    make.save(folder / "mix.wav", mix)
    message = rf"mix\.wav: .* \(\+60 dBFS\), got {value:g} on channel 2 at 0\.500 s \(sample 4000\) and 1 more\. HINT"
    with pytest.raises(ValueError, match=message):
        load_song(folder, make.rate)
    mix[4000, 1] = mix[5000, 0] = 1000.0
    make.save(folder / "mix.wav", mix)
    assert load_song(folder, make.rate, loudness_lufs=None).mix.abs().max() == 1000


@pytest.mark.parametrize(
    ("level", "tracks", "message"),
    [
        (0, 1, "the mix is silent, so"),
        (10 ** (-81 / 20), 1, "the mix is 8[0-9] dB below its loudest track"),
        (1, 0, "all tracks are silent"),
    ],
)
def test_songs_that_nothing_can_be_found_from_are_refused(make, level, tracks, message):
    song = load_song(make.folder(), make.rate, loudness_lufs=None)
    check_sound(replace(song, mix=song.sources[0] * 10 ** (-79 / 20)))
    with pytest.raises(ValueError, match=f"song: {message}"):
        check_sound(replace(song, mix=song.sources[0] * level, sources=song.sources * tracks))


def test_above_the_memory_limit_a_cache_is_needed(make):
    with pytest.raises(ValueError, match=r"memory_limit_gb: at least 0.000128 for this song expected, got 1e-05"):
        load_song(make.folder(), make.rate, memory_limit_gb=1e-5)
    assert load_song(make.folder(), make.rate, memory_limit_gb=0.000128).num_samples == make.rate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 0}, "sample_rate: a whole number of at least 1000 Hz expected, got 0"),
        ({"sample_rate": 44100.0}, "sample_rate: a whole number .* got 44100.0"),
        ({"loudness_lufs": 16}, "loudness_lufs: None or -70 to 0 LUFS expected, got 16"),
        ({"memory_limit_gb": -1}, "memory_limit_gb: a number from 0 expected, got -1"),
    ],
)
def test_settings_out_of_range(make, settings, message):
    with pytest.raises(ValueError, match=message):
        load_song(make.folder(), **settings)


@pytest.mark.parametrize(("start", "length"), [(0, 8000), (100, 50), (-30, 100), (7950, 100), (-5, 9000)])
def test_windows_have_zeros_outside_the_song(make, start, length):
    song = load_song(make.folder(), make.rate)
    window = read_window(song, start, length)
    padded = torch.nn.functional.pad(song.sources, (10000, 10000))
    assert torch.equal(window.sources, padded[..., 10000 + start : 10000 + start + length])
    padded = torch.nn.functional.pad(song.mix, (10000, 10000))
    assert torch.equal(window.mix, padded[..., 10000 + start : 10000 + start + length])


def test_a_window_is_a_copy_and_may_lie_outside(make):
    song = load_song(make.folder(), make.rate)
    before = song.mix.clone()
    sources, mix = read_window(song, 0, make.rate)
    mix.zero_()
    assert torch.equal(song.mix, before)
    assert sources.shape == (2, 2, make.rate)
    for start in (-500, make.rate, 10**9):
        assert not read_window(song, start, 500).sources.any()
    with pytest.raises(ValueError, match="length: at least 1 sample expected, got 0"):
        read_window(song, 0, 0)


def test_cutting_keeps_the_dtype():
    assert cut(torch.ones(3, dtype=torch.float64), -1, 3).tolist() == [0.0, 1.0, 1.0]
    assert cut(torch.ones(3, dtype=torch.float64), -1, 3).dtype == torch.float64


def test_a_song_checks_its_shapes(make):
    song = load_song(make.folder(), make.rate)
    fields = {name: getattr(song, name) for name in song.__dataclass_fields__}
    with pytest.raises(ValueError, match=r"sources: shape \(2, 2, 8000\) expected, got \(1, 2, 8000\)"):
        Song(**{**fields, "sources": song.sources[:1]})
    with pytest.raises(ValueError, match=r"mix: shape \(2, 8000\) expected, got \(1, 8000\)"):
        Song(**{**fields, "mix": song.mix[:1]})
    with pytest.raises(ValueError, match="mono: one entry for each of 2 tracks expected, got 1"):
        Song(**{**fields, "mono": (True,)})


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve room on a disk")
def test_room_for_a_mapped_song_is_reserved(tmp_path):
    """Without, a disk that is full later would kill the process in the middle of a copy."""
    mapped = map_new(tmp_path / "a.npy", (3, 2, 100_000))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= mapped.numel() * 4
    mapped[1] = 2.0
    assert np.load(tmp_path / "a.npy").sum() == 400_000
