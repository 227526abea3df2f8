"""Subgroups from the names of tracks, for songs that do not state theirs.

A name is split into lower-case words at everything that is not a letter and at capitals (`03_KickIn` gives kick,
in; `leadVox` gives lead, vox). The first subgroup of SUBGROUP_WORDS with a word in the name takes the track; a word
of four or more letters also matches as a beginning or an end (`kicks`, `bassdrum`), a shorter one only as a whole.
So the order decides: `bass drum` is drums, `bass guitar` is bass, `backing vox` is backing_vocals. What matches
nothing goes to `other`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SUBGROUP_WORDS: dict[str, tuple[str, ...]] = {
    "drums": (
        *("drum", "kick", "snare", "hihat", "hats", "toms", "cymbal", "crash", "ride", "overhead", "perc", "clap"),
        *("shaker", "tambourine", "conga", "bongo", "cowbell", "beat", "timpani", "bd", "sd", "hh", "oh", "ohs"),
        *("hat", "tom", "kik", "snr", "dr", "rim", "room", "break", "fill", "scratch"),
    ),
    "bass": ("bass", "upright", "fretless", "ba", "sub"),
    "guitars": (
        *("guitar", "guit", "gtr", "gtrs", "gt", "eg", "ag", "banjo", "mandolin", "ukulele"),
        *("steel", "strum"),
    ),
    "keys": ("piano", "keys", "keyboard", "rhodes", "wurli", "organ", "hammond", "clav", "epno", "harpsichord"),
    "synths": ("synth", "pads", "pad", "arp", "pluck", "saw", "sine", "moog", "mallet"),
    "strings": ("string", "violin", "viola", "cello", "fiddle", "harp", "vln", "vla", "vc"),
    "winds": (
        *("brass", "horn", "trumpet", "trombone", "tuba", "sax", "flute", "clarinet", "oboe", "bassoon"),
        *("wind", "tpt", "tbn", "piccolo", "harmonica"),
    ),
    "backing_vocals": (
        *("backing", "background", "choir", "harmony", "harmonies", "bgv", "bgvs", "bgvox", "bvox", "bv", "bvs"),
        "gang",
    ),
    "lead_vocals": ("vocal", "voice", "singer", "vox", "leadvox", "voc", "lv", "rap", "rapper"),
    "fx": ("fx", "sfx", "effect", "noise", "texture", "riser", "impact", "sweep", "ambience", "ambient"),
}
OTHER = "other"


def words_of(name: str) -> tuple[str, ...]:
    """Splits a name into lower-case words: `03_KickIn` gives ("kick", "in")."""
    return tuple(
        word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    )  # runs of capitals, or words with at most one capital in front


def subgroup_of(name: str) -> str:
    """Returns the subgroup in which the rule puts a track of this name."""
    words = words_of(name)
    for subgroup, known in SUBGROUP_WORDS.items():
        if any(_matches(word, key) for word in words for key in known):
            return subgroup
    return OTHER


def subgroups_by_rule(names: Sequence[str]) -> dict[str, list[str]]:
    """Tracks by subgroup: subgroups in the order of the rule (`other` last), tracks in the order given."""
    subgroup_by_name = {name: subgroup_of(name) for name in names}
    return {
        subgroup: [name for name in names if subgroup_by_name[name] == subgroup]
        for subgroup in (*SUBGROUP_WORDS, OTHER)
        if subgroup in subgroup_by_name.values()
    }


def _matches(word: str, key: str) -> bool:
    return word == key or (len(key) >= 4 and (word.startswith(key) or word.endswith(key)))
