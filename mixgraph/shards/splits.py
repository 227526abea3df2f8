"""Assigns songs to splits by their artist alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

from mixgraph.shards.fields import SPLIT

FRACTIONS: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def assign_splits(
    songs: Iterable[tuple[str, str | None]], fractions: Mapping[str, float] = FRACTIONS, seed: int = 42
) -> dict[str, str]:
    """Returns the split of each song. An artist is in one split only, and stays there when songs are added.

    The artist's name (in lower case, stripped of spaces) and the seed are hashed to a number in [0, 1), which
    falls into one of the fractions, laid end to end. Few artists can therefore leave a split empty.

    Args:
        songs: pairs (song, artist); a song without an artist counts as a separate artist.
        fractions: split -> its share of the artists; the shares add up to 1.
        seed: seeds the hash of the artists; another seed gives other splits.

    Raises:
        ValueError: a fraction is outside of 0 to 1 or they do not add up to 1, the name of a split has other characters
            than lower-case letters, digits and `_`, or a song has two artists.
    """
    for name, share in fractions.items():
        if not SPLIT.fullmatch(name):
            raise ValueError(f"fractions: a split is named with a-z, 0-9 and _, got {name!r}")
        if not 0 <= share <= 1:
            raise ValueError(f"fractions: {name}: 0 to 1 is needed, got {share}")
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"fractions: 1 is needed together, got {sum(fractions.values()):g}")
    artists: dict[str, str] = {}
    for song, artist in songs:
        who = artist_id(song, artist)
        if artists.setdefault(song, who) != who:
            raise ValueError(f"songs: {song}: one artist is needed, got {artists[song]!r} and {who!r}")
    return {song: _split(who, fractions, seed) for song, who in artists.items()}


def artist_id(song: str, artist: str | None) -> str:
    """Returns a key that identifies an artist; made of the song's name if no artist is known."""
    folded = " ".join((artist or "").casefold().split())
    return f"artist {folded}" if folded else f"song {song}"


def _split(who: str, fractions: Mapping[str, float], seed: int) -> str:
    digest = hashlib.sha256(f"{seed}/{who}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    total = 0.0
    for name, share in fractions.items():
        total += share
        if position < total:
            return name
    return [name for name, share in fractions.items() if share > 0][-1]  # rounding: the shares add up to just below 1
