"""A proposal as a folder: the graph with its values, its settings in words and pictures, its mix, and its page.

graph.json parameters.safetensors metrics.json   as every result has them: `render`, `export` and `load_result` work
settings.txt settings.png graph.svg graph.png    what the processors are set to
mix_found.flac                                   the mix, at the loudness of a search and the tracks' sample rate
reference.flac                                   the reference, at the same loudness and its own sample rate, if any
spectrograms.png                                 of the dry sum and the mix, beside the reference
automix.json                                     what it was made with, levels, notes, and what tells it from the others
report.html                                      the page
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixgraph.automix.checks import Reference
from mixgraph.automix.proposals import Proposal
from mixgraph.graph.io import save_graph, save_parameters
from mixgraph.page.material import A_REFERENCE, NO_TARGET, PROPOSED, REFERENCE, Material, repeated
from mixgraph.page.write import write_page
from mixgraph.report.figures import save_figure
from mixgraph.report.spectrograms import spectrogram_figure
from mixgraph.results.found_graph import load_result
from mixgraph.results.metrics import SongReading, TrackReading, write_metrics
from mixgraph.results.publish import FolderKind
from mixgraph.results.rendering import render_on_files
from mixgraph.results.write import write_mix, write_settings
from mixgraph.songs import Song
from mixgraph.songs.decode import decode
from mixgraph.system.files import json_text, write_atomically

WORDS = "proposals.txt"
_PAGE = "report.html"
_FORMAT = "mixgraph automix 1"
_FILES = {
    *("graph.json", "parameters.safetensors", "metrics.json", "settings.txt", "graph.svg", "graph.png"),
    *("spectrograms.png", "mix_found.flac", "mix_found.wav", f"{REFERENCE}.flac", f"{REFERENCE}.wav", PROPOSED, _PAGE),
}
_UNSEARCHED = "there was no search"
_HEARD_DB = 0.1


def _foreign(entries: list[Path]) -> list[Path]:
    unknown = [path for path in entries if path.name not in _FILES and not path.match("settings*.png")]
    return unknown if any(path.name == PROPOSED for path in entries) else list(entries)


def _foreign_to_several(entries: list[Path]) -> list[Path]:
    if not any(path.name == WORDS for path in entries):
        return list(entries)
    unknown: list[Path] = []
    for path in entries:
        if (path / PROPOSED).is_file():
            unknown += [path / name for name in PROPOSAL.foreign_names(path)]
        elif path.name != WORDS:
            unknown.append(path)
    return unknown


PROPOSAL = FolderKind("proposed mix", _foreign, lambda folder: (folder / PROPOSED).is_file())
PROPOSALS = FolderKind("folder of proposed mixes", _foreign_to_several, lambda folder: (folder / WORDS).is_file())


@dataclass(frozen=True, eq=False)
class Written:
    """What was written for a proposal: sentences on files that are other than usual, and the page's size in MB."""

    notes: tuple[str, ...]
    page_megabytes: float


def write_proposal(
    folder: Path,
    final: Path,
    proposal: Proposal,
    tracks: Path,
    reference: Reference | None,
    about: Sequence[str],
    made_with: Mapping[str, Any],
) -> Written:
    """Writes a proposal to a folder that exists.

    Args:
        folder: the folder to write to.
        final: where it will be, for paths in it.
        proposal: the proposal.
        tracks: the folder that its tracks were read from.
        reference: whose style is wanted, if any.
        about: sentences for the head of the settings and of the page.
        made_with: facts on how it was made, for automix.json.

    Raises:
        OSError: a file cannot be written.
    """
    song, values = proposal.song, proposal.values
    save_graph(folder / "graph.json", values.graph, values.weights, sample_rate=song.sample_rate)
    save_parameters(folder / "parameters.safetensors", values.parameters, values.weights)
    write_metrics(folder, _reading(song))
    found = load_result(folder)
    audio, rate, notes = render_on_files(found, tracks)
    written = write_mix(folder / "mix_found.flac", audio * song.level, rate)
    notes += [written.warning] if written.warning else []
    if reference is not None:
        whole = decode(reference.path)
        heard = write_mix(folder / f"{REFERENCE}.flac", whole.samples * reference.level, whole.sample_rate)
        notes += [heard.warning] if heard.warning else []
    level = _other_level(song)
    notes += level
    about = [*about, *level]
    write_settings(folder, song, values, {}, about, _UNSEARCHED)
    target = None if reference is None else repeated(reference.audio, song.num_samples)
    mixes = {"dry sum": song.mix, "proposed": proposal.mix}
    save_figure(
        spectrogram_figure(song.mix if target is None else target, mixes, song.sample_rate), folder / "spectrograms.png"
    )
    record = {
        "format": _FORMAT,
        "tracks": Path(os.path.relpath(tracks.resolve(), final.resolve())).as_posix(),
        **made_with,
        "about": list(about),
    }
    write_atomically(folder / PROPOSED, (json_text(record, indent=1) + "\n").encode())
    missing = (NO_TARGET if target is None else A_REFERENCE, *about)
    material = Material(
        load_result(folder),
        song.sources,
        target,
        proposal.mix,
        (),
        (),
        missing,
        level=song.level,
        target_is_reference=target is not None,
    )
    return Written(tuple(notes), write_page(folder / _PAGE, material))


def _other_level(song: Song) -> list[str]:
    """Says how far the found mix is from the level of what `render` and `export` make, where that can be heard."""
    difference = 20 * math.log10(song.level)
    if abs(difference) < _HEARD_DB:
        return []
    where = "above" if difference > 0 else "below"
    size = f"{abs(difference):.1f} dB {where}"
    return [f"The file mix_found is {size} what render and export make, which keep the tracks' own level."]


def _reading(song: Song) -> SongReading:
    tracks = zip(song.tracks, song.placements, song.mono, strict=True)
    hashes = list(song.file_hashes.items())[1:]
    return SongReading(
        sample_rate=song.sample_rate,
        num_samples=song.num_samples,
        level=song.level,
        tracks=tuple(TrackReading(name, start, polarity, mono) for name, (start, polarity), mono in tracks),
        file_hashes={"mix": None, **dict(hashes)},
    )
