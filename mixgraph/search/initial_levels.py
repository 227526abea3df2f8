"""Levels, places and a coarse colour of the tracks, read off a mix before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mixgraph.dsp.power_fit import band_powers, fit_powers
from mixgraph.processors import Processors
from mixgraph.search.trained_graph import TrainedGraph
from mixgraph.songs.song import Song

_MOST_COLOUR = 4.0  # amplitude, up and down: 12 dB
_LEAST_LEVEL, _MOST_LEVEL = 0.01, 10.0


@dataclass(frozen=True, eq=False)
class InitialLevels:
    """What each track is multiplied by in a mix, amplitudes.

    Attributes:
        levels: left and right, (K, 2).
        colours: in bands, of both channels, (K, bands).
        hertz: middle of each band, (bands,).
    """

    levels: Tensor
    colours: Tensor
    hertz: Tensor


def fit_initial_levels(sources: Tensor, mix: Tensor, sample_rate: int) -> InitialLevels:
    """Fits the powers of the tracks to those of the mix: each channel's levels over all bands, then bands over both.

    Args:
        sources: (K, 2, L), dry tracks.
        mix: (2, L).
        sample_rate: in Hz.
    """
    mix_powers, hertz = band_powers(mix.cpu(), sample_rate)  # (2, bands, frames)
    # One by one: (K, 2, bands, frames) is small, the spectra that it is made of are not.
    track_powers = torch.stack([band_powers(track.cpu(), sample_rate)[0] for track in sources])
    levels = torch.stack([fit_powers(track_powers[:, c].flatten(1), mix_powers[c].flatten()) for c in range(2)], dim=-1)
    levels = levels.clamp(_LEAST_LEVEL, _MOST_LEVEL)
    scaled = track_powers * levels.square()[:, :, None, None]
    bands = [fit_powers(scaled[:, :, b].flatten(1), mix_powers[:, b].flatten()) for b in range(hertz.numel())]
    colours = torch.stack(bands, dim=-1).clamp(1 / _MOST_COLOUR, _MOST_COLOUR)
    return InitialLevels(levels, colours, hertz)


@torch.no_grad()
def init_from_levels(
    console: TrainedGraph, song: Song, processors: Processors, render: Callable[[Song], Tensor]
) -> None:
    """Sets gain and equalizer of each track to what the mix asks of it.

    On each track, its first gain takes the level and its first equalizer the colour. What all other processors do to
    the level, as they start, is made up for by one factor for the song.

    Args:
        console: its values are replaced.
        song: one of its songs.
        processors: one module a type.
        render: the mix that the console makes of the song, (2, L).
    """
    start = fit_initial_levels(song.sources, song.mix, song.sample_rate)
    _set(console, song, processors, start)
    rendered_powers, mix_powers = (
        band_powers(mix.cpu(), song.sample_rate)[0].flatten() for mix in (render(song), song.mix)
    )
    factor = fit_powers(rendered_powers.unsqueeze(0), mix_powers)
    _set(console, song, processors, replace(start, levels=start.levels * factor))


def _set(console: TrainedGraph, song: Song, processors: Processors, start: InitialLevels) -> None:
    graph, weights = console.graph, console.weights
    order = {node: i for i, node in enumerate(graph.processors)}
    number = console.song_number(song)
    inputs = [i for i in graph.inputs if graph.songs[i] == number]
    for row, (levels, colours) in enumerate(zip(start.levels, start.colours, strict=True)):
        chain = [i for i in graph.processors if graph.sources[i] == (graph.rows[inputs[row]],)]
        chain = [i for i in chain if graph.level(i) == "track" and not graph.branch(i)]
        for gains, name in ((levels.unsqueeze(-1).expand(2, len(colours)), "gain_panning"), (colours, "equalizer")):
            node = next((i for i in chain if graph.types[i] == name), None)
            if node is None:
                continue
            setting = processors[name].values_for_gains(start.hertz, gains.expand(2, -1))
            assert setting is not None
            values, weights[order[node]] = setting
            parameters = console.values[name]
            assert isinstance(parameters, nn.ParameterDict)
            for key, value in values.items():
                parameters[key][graph.rows[node]] = value.to(parameters[key])
    console.dry_wet_logits.copy_(torch.logit(weights, eps=1e-6))
