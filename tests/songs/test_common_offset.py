"""Tracks that are all late or early together, as by a lead-in of the tracks or of the mix."""

import numpy as np
import pytest
import torch

from mixgraph.songs import load_song
from mixgraph.songs.common_offset import MAX_SECONDS, DrySum

RATE = 8000
SECONDS = 30


def _song(make, late: float, trimmed: bool):
    """Two tracks and their mix, which begins `late` seconds after the tracks do (before them where it is negative).

    What is trimmed ends where the other does; else the tracks go on past the mix's end.
    """
    folder = make.root / "song"
    kick, bass = (make.noise(SECONDS * RATE, 1, seed) * np.linspace(0.2, 1, SECONDS * RATE)[:, None] for seed in (0, 1))
    shift = round(abs(late) * RATE)
    tracks, mix = slice(None), slice(None)
    if late > 0:
        mix = slice(shift, None if trimmed else -5 * RATE)
    else:
        tracks = slice(shift, None if trimmed else -5 * RATE)
    make.save(folder / "tracks" / "a_kick.wav", -kick[tracks])
    make.save(folder / "tracks" / "b_bass.wav", bass[tracks])
    make.save(folder / "mix.wav", np.repeat(0.5 * kick + bass, 2, axis=1)[mix])
    return folder, kick[:, 0].astype(np.float32), shift


@pytest.mark.parametrize("trimmed", [True, False])
@pytest.mark.parametrize("late", [2.0, 10.0125, -3.0, -10.0])
def test_an_offset_of_all_tracks_is_found_over_the_whole_song(make, late, trimmed):
    folder, kick, shift = _song(make, late, trimmed)
    sign = 1 if late > 0 else -1
    song = load_song(folder, RATE, loudness_lufs=None)
    assert [(track.offset_samples, track.polarity) for track in song.alignment] == [
        (sign * shift, -1),
        (sign * shift, 1),
    ]
    assert song.placements == ((0, 1), (0, 1))
    message = (
        f"all tracks: seem {shift / RATE:.3f} s ({shift} samples) {'late' if late > 0 else 'early'} against the mix"
    )
    assert song.warnings[0].code == "common_offset"
    assert song.warnings[0].text.startswith(message)
    assert song.warnings[0].text.endswith("apply_alignment would undo it")

    aligned = load_song(folder, RATE, loudness_lufs=None, apply_alignment=True)
    assert aligned.placements == ((sign * shift, -1), (sign * shift, 1))
    assert [track.applied for track in aligned.alignment] == [True, True]
    assert aligned.warnings[0].text.startswith(message.replace("seem", "were"))
    assert aligned.warnings[0].text.endswith("corrected")
    if late > 0:
        assert np.array_equal(aligned.sources[0, 0].numpy(), kick[shift : shift + song.num_samples])
    else:
        assert not aligned.sources[..., :shift].any()
        assert np.array_equal(aligned.sources[0, 0, shift : 25 * RATE].numpy(), kick[shift : 25 * RATE])


def test_a_track_that_is_late_beside_the_others_and_one_that_is_not_heard(make):
    folder, _, shift = _song(make, 4.0, trimmed=True)
    kick = make.noise(SECONDS * RATE, 1, 0) * np.linspace(0.2, 1, SECONDS * RATE)[:, None]
    make.save(folder / "tracks" / "a_kick.wav", np.concatenate([np.zeros((400, 1)), kick]))
    make.save(folder / "tracks" / "c_other.wav", 0.01 * make.noise(SECONDS * RATE, 1, 9))
    song = load_song(folder, RATE, apply_alignment=True, subgrouping="one_per_track")
    assert [start for start, _ in song.placements] == [shift + 400, shift, shift]
    warnings = load_song(folder, RATE, subgrouping="one_per_track").warnings
    (text,) = (warning.text for warning in warnings if warning.code == "track_offset")
    assert text.startswith(f"track a_kick: seems {shift + 400} samples late")


def test_stated_offsets_come_before(make):
    folder, _, shift = _song(make, 10.0, trimmed=True)
    (folder / "song.yaml").write_text(
        "".join(["tracks:\n", *(f"  {n}.wav: {{offset_seconds: 10}}\n" for n in ("a_kick", "b_bass"))])
    )
    song = load_song(folder, RATE)
    assert [
        (start, track.offset_samples) for (start, _), track in zip(song.placements, song.alignment, strict=True)
    ] == [
        (shift, 0),
        (shift, 0),
    ]
    assert "common_offset" not in [warning.code for warning in song.warnings]


@pytest.mark.parametrize("seconds", [0, 1, 20])
def test_songs_of_loops_and_other_mixes_have_none(make, seconds):
    """A loop of half a second meets itself at every lag; other noise never does."""
    folder = make.folder()
    loop = np.tile(make.noise(RATE // 2, 1, 3), (40, 1))
    mix = make.noise(20 * RATE, 1, 4) if seconds == 0 else loop
    make.save(folder / "tracks" / "a_kick.wav", loop)
    make.save(folder / "mix.wav", mix[: (seconds or 20) * RATE])
    assert "common_offset" not in [warning.code for warning in load_song(folder, RATE).warnings]


def test_the_dry_sum_is_the_sum_on_one_time_line():
    dry = DrySum(100, 1)
    dry.add(torch.ones(1, 50), 20)  # -20 to 30
    dry.add(torch.tensor([[1.0], [3.0]]).expand(2, 40), -90)  # 90 to 130
    assert dry.span == (-20, 130)
    assert dry.read(-21, 152)[0].tolist() == [0] + [1] * 50 + [0] * 60 + [2] * 40 + [0]


def test_a_track_far_from_the_mix_takes_no_memory():
    dry = DrySum(100, 10)
    for start in (10**15, -(10**15)):
        dry.add(torch.ones(1, 50), start)
    assert dry.span == (0, 100)
    dry.add(torch.ones(1, 10**5), 10**5 // 2)
    margin = round(MAX_SECONDS * 10)
    assert dry.span == (-margin, 100 + margin)
