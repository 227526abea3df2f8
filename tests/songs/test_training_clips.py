"""Training clips: where they start, what they hold."""

from dataclasses import replace

import pytest
import torch

from datamodules import SongData
from mixgraph.songs.training_clips import ClipReader, SongsReader, join_clips


@pytest.fixture(scope="module")
def song(tiny_song):
    return SongData(str(tiny_song), sample_rate=8000).song


def test_clip_is_the_song_with_zeros_around_it(song) -> None:
    clips = ClipReader(song, warm_up=8000, scored=4000, lookahead=500, seed=0)
    clip = clips.at(-8000)
    assert clip.sources.shape == (3, 2, 12_500)
    assert clip.targets.shape == (1, 2, 12_000)
    assert not clip.sources[..., :8000].any()
    assert torch.equal(clip.sources[..., 8000:], song.sources[..., :4500])
    assert torch.equal(clip.targets[0, :, 8000:], song.mix[:, :4000])
    last = clips.at(clips.last)
    assert torch.equal(last.targets[0, :, -4000:], song.mix[:, -4000:])
    assert not last.sources[..., -500:].any()


def test_starts_cover_the_whole_song_and_follow_seed_and_step(song) -> None:
    def starts(seed, which="whole_song"):
        clips = ClipReader(song, 8000, 4000, 0, seed, which)
        positions = []
        clips.at = positions.append  # type: ignore[method-assign, assignment]
        for step in range(3000):
            clips(step)
        return positions

    first = starts(1)
    assert min(first) < -7900
    assert max(first) > song.num_samples - 12_000 - 100
    assert all(-8000 <= s <= song.num_samples - 12_000 for s in first)
    assert first == starts(1) != starts(2)
    inside = starts(1, "reference")
    assert min(inside) >= 0


def test_even_starts_compare_the_ends_as_often_as_the_middle(song) -> None:
    scored, steps = 4000, 4000

    def compared(which):
        """How often each half second is, per step, of the starts of many steps."""
        clips = ClipReader(song, 8000, scored, 0, 0, which)
        positions = []
        clips.at = positions.append  # type: ignore[method-assign, assignment]
        for step in range(steps):
            clips(step)
        assert all(-8000 <= s <= song.num_samples - 12_000 for s in positions)
        count = torch.zeros(song.num_samples)
        for start in positions:
            count[start + 8000 : start + 8000 + scored] += 1 / steps
        return count.view(-1, scored).mean(dim=1)

    share = scored / song.num_samples
    even, whole = compared("even"), compared("whole_song")
    assert torch.allclose(even, torch.full_like(even, share), atol=0.03)  # of 4,000 draws: four deviations
    assert whole[0] < 0.7 * share
    assert whole[-1] < 0.7 * share


def test_a_song_shorter_than_a_clip_is_compared_whole(song) -> None:
    clips = ClipReader(song, 8000, 100_000, 50, 0)
    clip = clips(7)
    assert clip.targets.shape == (1, 2, 8000 + song.num_samples)
    assert torch.equal(clip.targets[0, :, 8000:], song.mix)
    assert ClipReader(song, 8000, 100_000, 50, 0, "reference")(3).targets.shape == clip.targets.shape


def test_bad_lengths_are_refused(song) -> None:
    with pytest.raises(ValueError, match="warm_up, scored, lookahead: at least 0, 1 and 0 samples, got 5, 0, 0"):
        ClipReader(song, 5, 0, 0, 0)


def test_clip_names_mono_and_silent_tracks(song) -> None:
    sources = song.sources.clone()
    sources[1, :, 3000:] = 0
    sources[0] = sources[0, :1]
    clips = ClipReader(replace(song, sources=sources, mono=(True, False, False)), 1000, 2000, 100, seed=0)
    assert clips.at(2000).silent == ()
    assert clips.at(3000).silent == (1,)
    assert clips.at(3000).mono == (0,)
    assert clips.at(-1000 - 2000 - 100).silent == (0, 1, 2)


def test_clips_of_several_songs_are_those_of_each(song, duo_song) -> None:
    other = SongData(str(duo_song), sample_rate=8000).song
    first = ClipReader(replace(song, mono=(True, False, True)), 1000, 2000, 100, seed=3)
    second = ClipReader(replace(other, mono=(False, True)), 1000, 2000, 100, seed=3)
    joined = SongsReader([first, second])(7)
    assert torch.equal(joined.sources, torch.cat((first(7).sources, second(7).sources)))
    assert torch.equal(joined.targets, torch.cat((first(7).targets, second(7).targets)))
    assert joined.targets.shape == (2, 2, 3000)
    assert joined.mono == (0, 2, 4)
    assert join_clips([first.at(-5000), second.at(0), first.at(-5000)]).silent == (0, 1, 2, 5, 6, 7)


def test_songs_of_one_search_need_clips_of_one_length(tiny_song, duo_song) -> None:
    with pytest.raises(ValueError, match=r"shorter than what is compared: tiny \(3 s\); search them on their own"):
        SongData([str(tiny_song), str(duo_song)], sample_rate=8000, scored_seconds=3.2).setup("fit")
    SongData(str(tiny_song), sample_rate=8000, scored_seconds=3.2).setup("fit")


def test_one_song_and_several(tiny_song, duo_song) -> None:
    assert [s.name for s in SongData([str(tiny_song)], sample_rate=8000).songs] == ["tiny"]
    both = SongData([str(tiny_song), str(duo_song)], sample_rate=8000)
    assert [s.name for s in both.songs] == ["tiny", "duo"]
    with pytest.raises(ValueError, match="song: one song is needed, got tiny, duo; see `songs`"):
        _ = both.song
    with pytest.raises(ValueError, match="names its result, and two are named 'tiny'"):
        _ = SongData([str(tiny_song), str(tiny_song)], sample_rate=8000).songs
    with pytest.raises(ValueError, match="path: the folder of at least one song, got none"):
        SongData([])
