"""Estimates levels, panning and coarse spectra of the tracks from a mix, before anything is trained."""

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
    """The amplitude factors of each track in a mix.

    Attributes:
        levels: factors of the left and right channel, (K, 2).
        colours: factors of the bands, the same for both channels, (K, bands).
        hertz: the middle of each band in Hz, (bands,).
    """

    levels: Tensor
    colours: Tensor
    hertz: Tensor


def fit_initial_levels(sources: Tensor, mix: Tensor, sample_rate: int) -> InitialLevels:
    """Fits the powers of the tracks to those of the mix: first levels of each channel, then factors of each band.

    Args:
        sources: the dry tracks, (K, 2, L).
        mix: (2, L).
        sample_rate: sample rate of tracks and mix, in Hz.
    """
    mix_powers, hertz = band_powers(mix.cpu(), sample_rate)  # (2, bands, frames)
    # One track at a time: (K, 2, bands, frames) is small, the spectra that it is computed from are not.
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
    """Sets gain and equalizer of each track to the levels that `fit_initial_levels` finds in the mix.

    The first gain of a track takes its level, the first equalizer its band factors. One factor for the whole song makes
    up for the change of level that all other processors cause with their initial values.

    Args:
        console: the graph whose values are replaced.
        song: one of the graph's songs.
        processors: one module for each type.
        render: renders the song with the console, (2, L).
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
