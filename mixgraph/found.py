"""Result folders, read: a found graph with its values, and its rendering on tracks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph.io import load_graph, load_parameters
from mixgraph.graph.types import MixGraph
from mixgraph.processors import Processors, make_processors
from mixgraph.render import BLOCK, render_song
from mixgraph.songs import WrittenAudio, read_audio, write_audio
from mixgraph.songs.audio import is_audio_file
from mixgraph.songs.clips import cut


@dataclass(frozen=True, eq=False)
class FoundGraph:
    """A graph that a search found, with all that rendering needs.

    Attributes:
        graph: of one song.
        processors: as they were in the search.
        processor_options: that they were made with, where these differ from the defaults.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weights, (processors,).
        sample_rate: in Hz.
        level: the factor that the tracks were multiplied by in the search; the graph expects it.
        num_samples: length of the song.
        placements: track -> (first sample read, polarity), where the song had it so.
    """

    graph: MixGraph
    processors: Processors
    parameters: dict[str, dict[str, Tensor]]
    weights: Tensor
    sample_rate: int
    level: float
    num_samples: int
    placements: dict[str, tuple[int, int]]
    processor_options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def render(self, sources: Tensor, block: int = BLOCK) -> Tensor:
        """The mix of dry tracks at their own level, (inputs, 2, L) to (2, L)."""
        with torch.no_grad():
            mix = render_song(self.graph, self.processors, sources * self.level, self.parameters, self.weights, block)
        return mix[0] / self.level


def load_result(path: str | Path) -> FoundGraph:
    """Reads a result folder.

    Raises:
        FileNotFoundError: not a result folder.
        ValueError: a file of it is damaged, of a newer schema, or does not fit the others.
    """
    path = Path(path)
    for name in ("graph.json", "parameters.safetensors", "metrics.json"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path}: {name} is missing; a result folder of a finished search is needed")
    file = load_graph(path / "graph.json")
    processors = make_processors(file.sample_rate, file.processor_options)
    parameters, weights = load_parameters(path / "parameters.safetensors", file.graph, processors)
    try:
        metrics: dict[str, Any] = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
        level, num_samples = float(metrics["level"]), int(metrics["num_samples"])
        placements = {t["name"]: (int(t["start_sample"]), int(t["polarity"])) for t in metrics["tracks"]}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path / 'metrics.json'}: level, num_samples and tracks are needed ({error!r})") from error
    options = {name: dict(given) for name, given in file.processor_options.items()}
    values = file.graph, processors, parameters, weights
    return FoundGraph(*values, file.sample_rate, level, num_samples, placements, options)


def read_tracks(found: FoundGraph, folder: Path) -> Tensor:
    """Reads the tracks of a found graph from a folder, by name, as the search read them: (inputs, 2, L).

    Raises:
        FileNotFoundError: no such folder, or tracks that are missing in it; all of them are named.
        ValueError: two files for a track, or files that cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"tracks: {folder} is not a folder")
    names = [found.graph.names[i] for i in found.graph.inputs]
    files = {name: [f for f in sorted(folder.iterdir()) if f.stem == name and f.is_file()] for name in names}
    missing = [name for name, matches in files.items() if not matches]
    if missing:
        others = [f.name for f in sorted(folder.iterdir()) if is_audio_file(f) and f.stem not in names]
        hint = f". HINT: is it one of {', '.join(others)}? Rename that" if others else ""
        raise FileNotFoundError(f"tracks: {folder} lacks {', '.join(missing)} (any audio format){hint}")
    for name, matches in files.items():
        if len(matches) > 1:
            raise ValueError(f"tracks: {name} has more than one file in {folder}: {', '.join(f.name for f in matches)}")
    sources = []
    for name in names:
        start, polarity = found.placements.get(name, (0, 1))
        audio = read_audio(files[name][0], found.sample_rate) * polarity
        sources.append(cut(audio, start, found.num_samples).expand(2, -1))
    return torch.stack(sources)


def render_result(result: Path, tracks: Path, out: Path, block: int = BLOCK, overwrite: bool = False) -> WrittenAudio:
    """Renders a result folder's graph on a folder of tracks and writes the mix; returns where it was written.

    Raises:
        FileExistsError: there is such a file already, and it is not to be overwritten.
        ValueError: a block of no samples, or a file among the tracks; and as `read_tracks` and `write_audio`.
    """
    if block < 1:
        raise ValueError(f"block: at least 1 sample, got {block}")
    if out.resolve().parent == tracks.resolve():
        raise ValueError(f"out: {out} would be among the tracks; choose another folder")
    places = [out, out.with_suffix(".wav")] if out.suffix.lower() == ".flac" else [out]  # what clips in FLAC is WAV
    if not overwrite and (existing := [str(place) for place in places if place.exists()]):
        raise FileExistsError(f"out: {', '.join(existing)} exists and is kept; choose another name or give --overwrite")
    found = load_result(result)
    mix = found.render(read_tracks(found, tracks), block)
    return write_audio(out, mix, found.sample_rate)
