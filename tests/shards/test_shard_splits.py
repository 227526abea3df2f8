"""Splits are decided by the artist alone."""

import pytest

from mixgraph.shards import assign_splits

SONGS = [(f"song{i}", f"artist {i // 3}" if i % 5 else None) for i in range(300)]
FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_an_artist_is_in_one_split_and_shares_are_kept() -> None:
    splits = assign_splits(SONGS, FRACTIONS, seed=1)
    assert splits.keys() == {song for song, _ in SONGS}
    by_artist: dict[str, set[str]] = {}
    for song, artist in SONGS:
        if artist:
            by_artist.setdefault(artist, set()).add(splits[song])
    assert all(len(splits) == 1 for splits in by_artist.values())
    # 160 artists and songs of their own: a share of 0.1 is 16 +- 4 (standard deviation) of them
    assert 0.7 < sum(split == "train" for split in splits.values()) / len(splits) < 0.9


def test_songs_that_are_added_move_no_other() -> None:
    few = assign_splits(SONGS[:100], FRACTIONS, seed=1)
    assert assign_splits(reversed(SONGS), FRACTIONS, seed=1).items() >= few.items()
    assert assign_splits(SONGS[:100], FRACTIONS, seed=2) != few
    assert assign_splits([("song0", " Artist  9 "), ("b", "artist 9")], FRACTIONS, 1)["b"] == few["song28"]


def test_known_values_hold_on_every_machine() -> None:
    names = [(name, None) for name in "abcdefgh"]
    assert "".join(assign_splits(names, {"train": 0.5, "test": 0.5}, 0)[name][1] for name, _ in names) == KNOWN


KNOWN = "reerrrre"  # t(r)ain and t(e)st


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"train": 0.5}, "fractions: 1 is needed together, got 0.5"),
        ({"train": 1.5, "test": -0.5}, "fractions: train: 0 to 1 is needed, got 1.5"),
        ({"Train/..": 1.0}, "fractions: a split is named with a-z, 0-9 and _, got 'Train/..'"),
    ],
)
def test_wrong_fractions_are_refused(fractions, message) -> None:
    with pytest.raises(ValueError, match=message):
        assign_splits(SONGS, fractions)


def test_a_song_with_two_artists_is_refused() -> None:
    with pytest.raises(ValueError, match="songs: a: one artist is needed, got 'artist x' and 'artist y'"):
        assign_splits([("a", "x"), ("a", "y")])
