"""MUSDB-style stem folders: mixture.wav beside drums.wav, bass.wav, other.wav, vocals.wav.

Every audio file but the mixture is a track, and a subgroup of its own. The stems of MUSDB are processed already: they
sum to the mixture, and serve as a source of songs with real dynamics rather than as dry tracks.
"""

from __future__ import annotations

from pathlib import Path

from mixgraph.names import normal_form
from mixgraph.songs.folder import NO_LICENCE, find_mix
from mixgraph.songs.formats import is_audio_file
from mixgraph.songs.manifest import Problems, SongDraft, TrackFile

STEM_ORDER = ("drums", "bass", "other", "vocals")


def read_musdb(folder: Path, problems: Problems) -> SongDraft:
    """Reads a folder of stems; what is wrong goes to `problems`."""
    mix = find_mix(folder, "mixture", problems)
    stems = sorted(
        (path for path in folder.iterdir() if is_audio_file(path) and path.stem.lower() != "mixture"), key=_rank
    )
    if not stems:
        problems.add(f"stems: audio files such as {', '.join(STEM_ORDER)} beside the mixture expected, got none")
    tracks = [TrackFile(path, path.stem) for path in stems]
    artist = folder.name.split(" - ")[0] if " - " in folder.name else None  # as MUSDB names its folders
    groups = {path.stem: [normal_form(path.name)] for path in stems}
    return SongDraft(folder.name, NO_LICENCE, mix, tracks, groups, artist=artist)


def _rank(path: Path) -> tuple[int, str]:
    stem = path.stem.lower()
    return (STEM_ORDER.index(stem) if stem in STEM_ORDER else len(STEM_ORDER), path.name)
