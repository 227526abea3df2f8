"""The mixer of a DAWproject: groups, tracks, return buses and the master of a found graph, each with its strip."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from mixgraph.exports.dawproject_strip import EqualizerDevice, Strip, decibels, read_strip
from mixgraph.exports.report import ExportReport
from mixgraph.exports.source import ExportSource
from mixgraph.exports.stems import PrintedStem
from mixgraph.graph.types import INPUT, SEND
from mixgraph.report.settings import NodeSettings
from mixgraph.results.stems import stem_places


@dataclass(frozen=True)
class LiveChannel:
    """A channel that plays dry audio, or a sum, through the devices of the format.

    Attributes:
        level: `track`, `subgroup` or `return`.
        name: name of the track, subgroup or bus.
        into: the subgroup that it is summed to; `""` for the mix.
        strip: its devices and fader.
        sends: (name of the return bus, gain) pairs, behind the fader.
        source: the row of a track among the dry tracks; -1 for a sum.
        printed: its printed stem.
    """

    level: str
    name: str
    into: str
    strip: Strip
    sends: tuple[tuple[str, float], ...]
    source: int
    printed: PrintedStem


@dataclass(frozen=True)
class Mixer:
    """All channels: live ones in the order of the stems, the master's devices, and stems that have no channel.

    Attributes:
        channels: tracks, then subgroups, then return buses.
        master: devices of the chain on the mix.
        rest: the printed stem of what that chain adds; None where there is none.
        mix: the printed mix.
    """

    channels: tuple[LiveChannel, ...]
    master: Strip
    rest: PrintedStem | None
    mix: PrintedStem

    def of_level(self, level: str) -> tuple[LiveChannel, ...]:
        return tuple(channel for channel in self.channels if channel.level == level)


def read_mixer(source: ExportSource, printed: list[PrintedStem], report: ExportReport) -> Mixer:
    """Reads the channels of a found graph, and reports what is approximated and left out.

    Args:
        source: the found graph.
        printed: its printed stems, of `print_stems`.
        report: takes what is approximated and left out.
    """
    graph = source.found_graph.graph
    places = stem_places(graph)
    heads = [graph.chain_head(place.ends[0][0]) for place in places]
    chains: defaultdict[int, list[NodeSettings]] = defaultdict(list)
    sends: defaultdict[int, list[tuple[str, float]]] = defaultdict(list)
    for node in source.node_settings:
        head = graph.chain_head(node.node)
        if graph.types[node.node] == SEND:
            gain = node.values.weight * float(node.processor.impulse_response(node.values.parameters).flatten()[0])
            sends[head] += [(graph.names[bus], gain) for bus in graph.successors[node.node]]
        else:
            chains[head].append(node)
    parted = {node for node in graph.processors if graph.branch(node)}
    channels = []
    for place, head, stem in zip(places, heads, printed, strict=False):
        row = graph.rows[head] if graph.types[head] == INPUT else -1
        strip = read_strip(chains.pop(head, []), parted, report)
        channels.append(LiveChannel(place.level, place.name, place.into, strip, tuple(sends[head]), row, stem))
    on_sums = [node for chain in chains.values() for node in chain]  # what is left: chains on the mix
    master = read_strip(on_sums, parted, report)
    if on_sums:
        report.left_out(on_sums[0].place, "devices on the master are switched off: the printed rest holds the chain")
    rest = next((stem for stem in printed if stem.level == "rest"), None)
    return Mixer(tuple(channels), _without_fader(master), rest, printed[-1])


def _without_fader(strip: Strip) -> Strip:
    """Puts the gain of a fader into an equalizer without bands, which can be switched off as devices can."""
    if strip.volume == 1:
        return replace(strip, left=1.0, right=1.0)
    gain = EqualizerDevice("gain", output_gain_db=decibels(strip.volume))
    return replace(strip, devices=(*strip.devices, gain), left=1.0, right=1.0)
