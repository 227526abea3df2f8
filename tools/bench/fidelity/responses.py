"""Measures the errors of the found gain, pan and equalizer of each track against the known ones.

Gains and filters may sit in a track's chain or in its subgroup's, so what is compared is the direct path: the product
of all that a track passes on its way into the mix, 2 x 2 (left and right) at every frequency. Of reverb and delay only
the dry part counts; sends and their returns are left out. Each path is put to the dry track itself: the gain of a
third-octave band (50 Hz to 10 kHz) is the energy that the path makes of the track's sound in that band over the energy
that the track has there, left and right together. So a steep filter counts as it acts on what is played. Bands that are
30 dB or more below the track's loudest do not count.

What dynamics do to the level on average cannot be read off settings, nor what they do to the place of a track where
they turn left and right down unequally, as pedalboard's do. Where a path has dynamics, both are measured in the mix,
true or found: all direct sounds are fitted to it by least squares, each with one factor a channel (`mix_factors`). On
the true mixes of three songs, the factors of tracks without dynamics, which are known to be 0 dB, came out with errors
of 0.06 dB (median) and 0.7 dB (worst, in the far channel of a hard pan).

Truth is read from a song's truth.json (`juce`), or is the graph that made the mix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import soundfile
import torch
from torch import Tensor

from mixgraph.graph.edit import split_outlets
from mixgraph.graph.types import OUTPUT, SEND
from mixgraph.names import shown_name
from mixgraph.processors import Processor, Processors, make_processors
from mixgraph.recovery import Setting
from mixgraph.songs.song import Song
from mixgraph.songs.text_files import read_json
from tools.bench.fidelity.direct_sound import Bands, mix_factors, third_octave_bands
from tools.bench.fidelity.juce import chain_response

ENERGY_RANGE_DB = 30.0
TARGET_DB = 1.0
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class DirectPath:
    """A track's way into the mix.

    Attributes:
        response: (2, 2, bins), complex: what the mix's left and right (first axis) get of the track's (second).
        has_level: True if the response determines the level: the path has no dynamics, and every gain is known.
    """

    response: Tensor
    has_level: bool


# Truth: pedalboard's settings.


def true_paths(folder: Path, song: Song, hertz: Tensor) -> dict[str, DirectPath] | None:
    """Reads the paths of a song's tracks from its truth.json; returns None if it has none.

    Tracks whose chain, or whose subgroup's, is not in it are left out.

    Raises:
        ValueError: a type or a setting is unknown.
    """
    path = folder / "truth.json"
    if not path.is_file():
        return None
    record = read_json(path)
    if "tracks" in record and "subgroups" in record:
        tracks = {Path(name).stem: chain for name, chain in record["tracks"].items()}
        groups, final_gain = record["subgroups"], record.get("final_gain")
    else:
        tracks = {name: chain for name, chain in record.items() if not name.startswith("bus:")}
        groups = {name.removeprefix("bus:"): chain for name, chain in record.items() if name.startswith("bus:")}
        final_gain = None
    tracks, groups = ({shown_name(name): chain for name, chain in chains.items()} for chains in (tracks, groups))
    rate = soundfile.info(str(folder / next(iter(song.file_hashes)))).samplerate
    paths: dict[str, DirectPath] = {}
    for group, members in song.subgroups.items():
        for track in members:
            if track not in tracks or group not in groups:
                continue
            try:
                response, dynamic = chain_response([*tracks[track], *groups[group]], hertz, rate)
            except ValueError as error:
                raise ValueError(f"{path}: {track}, {group}: {error}") from error
            gains = response * (1.0 if final_gain is None else final_gain)
            paths[track] = DirectPath(
                torch.diag_embed(gains.T).permute(1, 2, 0), final_gain is not None and not dynamic
            )
    return paths


# Found: a graph and its values.


def found_paths(values: Setting, processors: Processors, bands: Bands) -> dict[str, DirectPath]:
    """Computes the paths of the tracks of a graph of one song, with any console.

    Nodes are visited from the output back: the response behind a node is the sum over its successors.
    """
    graph, whole_node = split_outlets(values.graph)
    place = {node: i for i, node in enumerate(values.graph.processors)}
    weights = values.weights.detach().double().cpu()
    bins = bands.hertz.numel()
    after = {i: torch.zeros(2, 2, bins, dtype=torch.complex128) for i in range(len(graph))}  # responses behind nodes
    dynamic = dict.fromkeys(range(len(graph)), False)
    paths: dict[str, DirectPath] = {}
    for node in reversed(graph.topological_order):
        node_type, path_after = graph.types[node], after.pop(node)
        if node_type == OUTPUT:
            path_after = torch.eye(2, dtype=torch.complex128).unsqueeze(-1).expand(2, 2, bins)
        elif whole_node[node] in place:
            if node_type == SEND:
                continue
            processor, weight = processors[node_type], float(weights[place[whole_node[node]]])
            path_after = _product(path_after, _matrix(processor, _row(values, whole_node[node]), weight, bands))
            dynamic[node] = dynamic[node] or (not processor.linear and weight != 0)
        for before in graph.predecessors[node]:
            after[before] = after[before] + path_after
            dynamic[before] = dynamic[before] or dynamic[node]
        if not graph.predecessors[node]:
            paths[graph.names[node]] = DirectPath(path_after, not dynamic[node])
    return paths


def _row(values: Setting, node: int) -> dict[str, Tensor]:
    row = values.graph.rows[node]
    type_parameters = values.parameters[values.graph.types[node]]
    return {name: value[row : row + 1].detach().double().cpu() for name, value in type_parameters.items()}


def _product(after: Tensor, before: Tensor) -> Tensor:
    return torch.einsum("abf,bcf->acf", after, before)


def _matrix(processor: Processor, parameters: dict[str, Tensor], weight: float, bands: Bands) -> Tensor:
    """Returns a processor's direct response with its dry/wet weight, (2, 2, bins or 1); dynamics give the identity."""
    identity = torch.eye(2, dtype=torch.complex128).unsqueeze(-1)
    if not processor.linear:
        return identity
    dry = (0.0 if processor.cuts else 1 - weight) * identity
    if processor.late:
        return dry
    with torch.no_grad():
        wet = processor.response(parameters, bands.n_fft)[0].to(torch.complex128)
    wet = wet[:, : bands.hertz.numel()].expand(2, -1)
    if processor.channels == "left_right":
        return dry + weight * torch.diag_embed(wet.T).permute(1, 2, 0)
    mid, side = wet
    return (
        dry + weight * torch.stack([torch.stack([mid + side, mid - side]), torch.stack([mid - side, mid + side])]) / 2
    )


# Comparing.


def response_errors(
    true: Mapping[str, DirectPath],
    searched: Mapping[str, DirectPath],
    sources: Mapping[str, Tensor],
    mixes: tuple[Tensor, Tensor],
    bands: Bands,
) -> dict[str, Any]:
    """Computes the errors of all tracks that have both paths and are not silent.

    Args:
        true: track -> the known path.
        searched: track -> the path in the graph that the search ended with.
        sources: track -> the dry track, (2, L).
        mixes: the true and the found mix, (2, L); used for paths whose level is unknown.
        bands: the bands of the paths.

    Returns:
        A dict. `tracks` has the errors of each track, found minus true: `level_db`, the mean error of the
        band gains; `pan`, that of the position in the mix, -1..1, by the law of `pan_gains` (both None if they cannot
        be measured); `equalizer_db`, median and worst absolute error of the band gains without their mean; and `bands`,
        the number of bands that count. `level_db`, `pan`, `equalizer_db` (of medians) and `worst_db` are medians of
        absolute errors over tracks. `equalizer_in_target` and `in_target` are the shares of all bands in which the
        equalizer, and the equalizer with the level, are within 1 dB. They are None if no track is known.
    """
    names = [name for name in true if name in searched and sources[name].any()]
    dry = [sources[name] for name in names]
    sides = [
        complete([side[name] for name in names], dry, mix, bands)
        for side, mix in zip((true, searched), mixes, strict=True)
    ]
    tracks: dict[str, dict[str, Any]] = {}
    shapes: list[Tensor] = []
    totals: list[Tensor] = []
    for name, track, *paths in zip(names, dry, *sides, strict=True):
        true_gains, found_gains = (_gains(path, track, bands) for path in paths)
        difference = found_gains.decibels - true_gains.decibels
        shapes.append((difference - difference.mean()).abs())
        known = all(path.has_level for path in paths)
        if known:
            totals.append(difference.abs())
        tracks[name] = {
            "level_db": float(difference.mean()) if known else None,
            "pan": found_gains.position - true_gains.position if known else None,
            "equalizer_db": {"median": float(shapes[-1].quantile(0.5)), "worst": float(shapes[-1].max())},
            "bands": difference.numel(),
        }
    return {
        "tracks": tracks,
        "level_db": _middle([abs(errors["level_db"]) for errors in tracks.values() if errors["level_db"] is not None]),
        "pan": _middle([abs(errors["pan"]) for errors in tracks.values() if errors["pan"] is not None]),
        "equalizer_db": _middle([errors["equalizer_db"]["median"] for errors in tracks.values()]),
        "worst_db": _middle([errors["equalizer_db"]["worst"] for errors in tracks.values()]),
        "equalizer_in_target": _share_in_target(shapes),
        "in_target": _share_in_target(totals),
    }


def measure_responses(
    song: Song,
    folder: Path,
    truth: Setting | None,
    values: Setting,
    processors: Processors,
    mixes: tuple[Tensor, Tensor],
) -> dict[str, Any] | None:
    """Computes the errors against the graph that made the mix, else against truth.json; None if there is neither.

    Args:
        song: the song that was searched, at the level of its files.
        folder: the folder of the song, which may hold a truth.json.
        truth: the graph that made the mix, if the song is synthetic.
        values: the graph and its values at the end of the search.
        processors: one module for each type of the found graph.
        mixes: the song's mix and the found one, (2, up to L); shorter ones hold the end of the song.
    """
    bands = third_octave_bands(song.sample_rate)
    true: Mapping[str, DirectPath] | None
    if truth is None:
        true = true_paths(folder, song, bands.hertz)
    else:
        true = found_paths(truth, make_processors(song.sample_rate), bands)
    if true is None:
        return None
    measured_part = song.sources[..., song.num_samples - mixes[0].shape[-1] :]
    sources = dict(zip(song.tracks, measured_part, strict=True))
    return response_errors(true, found_paths(values, processors, bands), sources, mixes, bands)


@dataclass(frozen=True, eq=False)
class _Gains:
    """The effect of a path on a track: the gain in dB of each band that counts, (bands,), and the pan in -1..1."""

    decibels: Tensor
    position: float


def _gains(path: DirectPath, track: Tensor, bands: Bands) -> _Gains:
    window = torch.hann_window(bands.n_fft, dtype=torch.float64)
    spectra = torch.stft(
        track.double(), bands.n_fft, window=window, center=True, pad_mode="constant", return_complex=True
    )[:, : bands.hertz.numel()]
    energies = torch.einsum("aft,bft->abf", spectra, spectra.conj())  # energies and cross terms of left, right
    dry = bands.member @ (energies[0, 0] + energies[1, 1]).real
    counted = dry > dry.max() * 10 ** (-ENERGY_RANGE_DB / 10)
    leaving = torch.einsum("abf,bcf,acf->af", path.response, energies, path.response.conj()).real
    wet = bands.member[counted] @ leaving.T.clamp(min=0)
    left, right = wet.sum(dim=0).sqrt().tolist()
    decibels = 10 * torch.log10((wet.sum(dim=1) / dry[counted]).clamp(min=_TINY))
    return _Gains(decibels, math.atan2(right, left) * 4 / math.pi - 1)


def complete(paths: Sequence[DirectPath], tracks: Sequence[Tensor], mix: Tensor, bands: Bands) -> list[DirectPath]:
    """Adds levels (left, right) measured in the mix to paths without one; if none is found, they stay without."""
    if all(path.has_level for path in paths):
        return list(paths)
    factors = mix_factors([path.response for path in paths], torch.stack(list(tracks)), mix, bands)
    return [
        path if path.has_level or factor.isnan().any() else DirectPath(path.response * factor.view(2, 1, 1), True)
        for path, factor in zip(paths, factors, strict=True)
    ]


def _share_in_target(errors: Sequence[Tensor]) -> float | None:
    return float((torch.cat(list(errors)) <= TARGET_DB).double().mean()) if errors else None


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None
