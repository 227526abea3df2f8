"""The same excerpts of several results of one song: their mixes and the errors of their spectrograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mixgraph.page.comparison import Compared
from mixgraph.page.excerpts import Excerpt, choose_excerpts, encoded, matching_gains, parse_excerpts
from mixgraph.page.material import ChangedTracks, Material, read_mix, read_sources
from mixgraph.page.pictures import pictures

TARGET = "target"


@dataclass(frozen=True, eq=False)
class Mixes:
    """The mixes of several results of one song.

    Attributes:
        by_name: `target` and the letters of results -> (2, L); what is not there is left out.
        sample_rate: their sample rate in Hz, the first result's.
        missing: a sentence for every mix that is not there.
    """

    by_name: Mapping[str, Tensor]
    sample_rate: int
    missing: tuple[str, ...]


def read_mixes(
    results: Mapping[str, Compared], tracks: Path | None = None, changed_tracks: ChangedTracks = "refuse"
) -> Mixes:
    """Reads the target, and the found mix of each result; one that is not there is rendered from the dry tracks.

    Args:
        results: letter -> result, all of one song.
        tracks: the song's folder, where it is not where the search read it.
        changed_tracks: whether tracks whose content is another than in the search are refused.

    Raises:
        ValueError: tracks that changed since the search.
    """
    first = next(iter(results.values())).found_graph
    rate, length = first.sample_rate, first.num_samples
    mixes: dict[str, Tensor] = {}
    missing: list[str] = []
    for result in results.values():
        if TARGET not in mixes and (target := _file(result, "mix_target", rate, length, missing)) is not None:
            mixes[TARGET] = target
    if TARGET not in mixes:
        missing.append("The target is in none of the results (mix_target), so that there are no errors to see.")
    for letter, result in results.items():
        mix = _file(result, "mix_found", rate, length, missing)
        if mix is None and result.found_graph.sample_rate == rate:
            sources = read_sources(result.found_graph, tracks, changed_tracks, [])
            mix = None if sources is None else result.found_graph.render(sources)
        if mix is None:
            missing.append(f"{result.name} cannot be heard: neither mix_found nor its dry tracks can be read.")
        else:
            mixes[letter] = mix[:, :length]
    return Mixes(mixes, rate, tuple(missing))


def _file(result: Compared, name: str, sample_rate: int, num_samples: int, missing: list[str]) -> Tensor | None:
    try:
        return read_mix(result.folder, name, sample_rate, num_samples)
    except (ValueError, OSError) as error:
        missing.append(f"{name} of {result.name} cannot be read: {error}")
        return None


def common_excerpts(first: Compared, mixes: Mixes, excerpts: str, whole: bool) -> list[Excerpt]:
    """Chooses the excerpts of all results: stated ones, the whole song, or the loudest and the one worst matched.

    Raises:
        ValueError: excerpts that cannot be read.
    """
    graph = first.found_graph
    seconds = graph.num_samples / graph.sample_rate
    if whole:
        return [Excerpt("whole song", 0.0, seconds)]
    if excerpts:
        return parse_excerpts(excerpts, seconds)
    mix = mixes.by_name.get(TARGET)
    chosen = choose_excerpts(Material(graph, None, mix, next(iter(mixes.by_name.values()), None), [], [], ()))
    return [replace(e, name=e.name.replace("worst matched", "worst matched by A")) for e in chosen]


def common_excerpt_data(mixes: Mixes, excerpt: Excerpt, with_audio: bool, letters: Sequence[str]) -> dict[str, Any]:
    """Returns an excerpt as JSON, as `excerpts.excerpt_data` does, of the target and several results."""
    rate = mixes.sample_rate
    first, last = round(excerpt.start * rate), round(excerpt.stop * rate)
    signals = {name: mix[:, first:last] for name, mix in mixes.by_name.items()}
    errors = {f"error of {letter}": letter for letter in letters}
    data: dict[str, Any] = {"name": excerpt.name, "start": first / rate, "seconds": (last - first) / rate}
    data["pictures"] = pictures(signals, (TARGET,), errors, rate)
    if with_audio and signals:
        data["gains"] = matching_gains(signals, rate)
        data["audio"] = {name: encoded(signal, rate) for name, signal in signals.items()}
    return data
