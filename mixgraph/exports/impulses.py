"""The export `impulses`: impulse responses of chains, as WAV files for any convolver plug-in."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mixgraph.exports.formats import FORMATS, ExportFormat, Progress
from mixgraph.exports.report import ExportReport
from mixgraph.exports.source import ExportSource
from mixgraph.exports.stretches import Chain, Stretch, find_chains, has_crosstalk, impulse_response, node_labels
from mixgraph.exports.wav import write_wav
from mixgraph.graph.types import OUTPUT, MixGraph
from mixgraph.names import file_names, spreadsheet_cell, visible
from mixgraph.system.files import write_atomically

LIST, README = "impulses.csv", "README.txt"
_COLUMNS = (
    *("file", "chain", "from", "to", "processors", "channels", "samples", "latency_samples", "latency_ms"),
    *("left_db", "right_db", "across_db", "peak"),
)
_LEAST_DB = -180.0
_WIDTH = 110


@dataclass(frozen=True, eq=False)
class Written:
    """A linear stretch of a chain, and what was written of it.

    Attributes:
        chain, stretch: the stretch, and the chain that it is in.
        file: name of the file without its suffix; `""` where the signal passes as it is.
        response: (2, 2, samples), from left and right to left and right; None where the signal passes as it is.
    """

    chain: Chain
    stretch: Stretch
    file: str
    response: Tensor | None

    @property
    def crosses(self) -> bool:
        """Whether the response leads from one channel to the other: then there are three files."""
        return self.response is not None and has_crosstalk(self.response)


@FORMATS.register
class Impulses(ExportFormat):
    """Impulse responses of the linear parts of all chains."""

    name = "impulses"
    summary = "impulse responses of every linear chain, or of its linear parts, as WAV files for convolver plug-ins"
    needs_tracks = False

    def write(self, source: ExportSource, folder: Path, report: ExportReport, progress: Progress) -> None:
        graph = source.found_graph.graph
        labels = node_labels(graph)
        everything = find_chains(source.found_graph)
        chains = [chain for chain in everything if chain.curved or _is_processed(chain)]
        written: list[Written] = []
        taken: set[str] = set()
        for number, chain in enumerate(chains, start=1):
            progress(f"computing {number} of {len(chains)}: {chain.place}")
            written += _write_chain(source, folder, chain, f"{number:0{max(2, len(str(len(chains))))}d}", taken)
            for node in chain.curved:
                report.left_out(
                    labels[node],
                    "has no impulse response (its gain follows the signal or the time); it stands between the files of "
                    "its chain, set as the export sheet says",
                )
        report.note(*source.placement_lines)
        files = sum(bool(row.file) for row in written)
        report.note(
            f"{files} impulse responses of {len(chains)} chains, 32-bit float, not normalised: the plug-in must not "
            f"normalise them either. {README} says how to load them, {LIST} lists them.",
        )
        write_atomically(folder / LIST, _table(graph, source.sample_rate, written).encode())
        plain = [chain.place for chain in everything if chain not in chains]
        write_atomically(folder / README, _readme(source, chains, written, plain).encode())


def _is_processed(chain: Chain) -> bool:
    return any(stretch.nodes for stretch in chain.stretches)


def _write_chain(source: ExportSource, folder: Path, chain: Chain, number: str, taken: set[str]) -> list[Written]:
    rows = []
    count = sum(bool(stretch.nodes) for stretch in chain.stretches)
    part = 0
    for stretch in chain.stretches:
        if not stretch.nodes:
            rows.append(Written(chain, stretch, "", None))
            continue
        part += 1
        (name,) = file_names([f"{number}_{chain.place}{f'_part{part}' if count > 1 else ''}"], taken)
        response = impulse_response(source.found_graph, chain, stretch)
        row = Written(chain, stretch, name, response)
        if row.crosses:
            write_wav(folder / f"{name}.wav", response.flatten(0, 1), source.sample_rate)
            write_wav(folder / f"{name}_L.wav", response[0], source.sample_rate)
            write_wav(folder / f"{name}_R.wav", response[1], source.sample_rate)
        else:
            write_wav(folder / f"{name}.wav", response[[0, 1], [0, 1]], source.sample_rate)
        rows.append(row)
    return rows


def _from(graph: MixGraph, row: Written) -> str:
    start = row.stretch.start
    return "input" if start is None or start == row.chain.head else node_labels(graph)[start]


def _decibels(amplitude: float) -> float:
    return max(20 * math.log10(amplitude), _LEAST_DB) if amplitude > 0 else _LEAST_DB


def _gains(row: Written) -> tuple[float, float, float] | None:
    """Returns the gains in dB from left to left, right to right and across, where they are all that a response is."""
    if row.response is None or row.response.shape[-1] > 1:
        return None
    matrix = row.response[..., 0]
    across = float(matrix[0, 1].abs().max(matrix[1, 0].abs()))
    return _decibels(abs(float(matrix[0, 0]))), _decibels(abs(float(matrix[1, 1]))), _decibels(across)


def _table(graph: MixGraph, sample_rate: int, written: list[Written]) -> str:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    for row in written:
        types = " ".join(graph.types[node] for node in row.stretch.nodes)
        named = [spreadsheet_cell(name) for name in (row.chain.place, _from(graph, row), row.stretch.end.label, types)]
        if row.response is None:
            table.writerow(["", *named, "", "", 0, 0, "", "", "", ""])
            continue
        gains = _gains(row)
        levels = ["", "", ""] if gains is None else [f"{level:.2f}" for level in gains]
        late = row.stretch.latency
        facts = [4 if row.crosses else 2, row.response.shape[-1], late, f"{1000 * late / sample_rate:.3f}"]
        table.writerow([f"{row.file}.wav", *named, *facts, *levels, f"{float(row.response.abs().max()):.6g}"])
    return stream.getvalue()


def _path(graph: MixGraph, chain: Chain, written: list[Written]) -> list[str]:
    """Writes the way of the signal through a chain, a line for each part."""
    lines = []
    for row in written:
        if row.chain is not chain:
            continue
        what = "unchanged" if row.response is None else f"[{row.file}.wav]"
        gains = _gains(row)
        if gains is not None:
            left, right, across = gains
            what += f" (gains alone: left {left:+.2f} dB, right {right:+.2f} dB"
            what += f", across {across:+.2f} dB)" if row.crosses else ")"
        ways = (_from(graph, row), what, row.stretch.end.label)
        lines.append("    " + " -> ".join(part.removeprefix(f"{chain.place}: ") for part in ways))
    return lines


def _total_latencies(graph: MixGraph, chains: list[Chain]) -> dict[int, int]:
    """Returns, by head of a chain, the samples by which its signal reaches the mix late, over all chains behind it."""
    own = {chain.head: chain.latency for chain in chains}
    total: dict[int, int] = {}
    for node in reversed(graph.topological_order):
        if graph.types[node] == OUTPUT or graph.chain_head(node) != node:
            continue
        behind = {
            graph.chain_head(destination)
            for source, destination in graph.edges
            if graph.chain_head(source) == node and graph.types[source] != "send" and graph.types[destination] != OUTPUT
        } - {node}
        total[node] = own.get(node, 0) + max((total.get(head, 0) for head in behind), default=0)
    return total


def _readme(source: ExportSource, chains: list[Chain], written: list[Written], plain: list[str]) -> str:
    graph, rate = source.found_graph.graph, source.sample_rate
    lines = [*_HOW_TO.format(title=source.title, rate=rate).splitlines(), "", *source.placement_lines]
    lines += [""] if source.placement_lines else []
    for chain in chains:
        late = f"{chain.latency} samples ({1000 * chain.latency / rate:.1f} ms)" if chain.latency else "none"
        lines += [f"{chain.place}: latency {late}", *_path(graph, chain, written), ""]
    if plain:
        lines += [*textwrap.wrap(f"Without processors, summed as they are: {', '.join(plain)}.", _WIDTH), ""]
    total = _total_latencies(graph, chains)
    late_tracks = [node for node in graph.inputs if total.get(node)]
    if late_tracks:
        longest = max(total[node] for node in graph.inputs)
        lines.append("Latency of each track up to the mix, with that of the chains behind its own:")
        lines += [f"    {graph.names[node]}: {total[node]} samples" for node in graph.inputs]
        lines.append(
            f"Move each track earlier by its number, or delay it by {longest} minus its number, and all are in time."
        )
    return "\n".join(visible(line) for line in lines) + "\n"


_HOW_TO = """{title}: impulse responses at {rate} Hz, 32-bit float

A file holds all that a chain does to the signal, dry sound included: set the convolver plug-in to 100 % wet, no
normalising, no automatic gain, no fades, no pre-delay, and take the plug-in's length limit away. Set the session to
{rate} Hz.

Stereo files (2 channels): the first channel is the response from left to left, the second from right to right; nothing
crosses over. Load them as a plain stereo response on a stereo track. On a mono track, the convolver must be one with a
mono input and a stereo output.

Files with 4 channels lead from one channel to the other, too ("true stereo"); their order is left to left, left to
right, right to left, right to right. Plug-ins that load true stereo as two stereo files take NAME_L.wav (what enters on
the left) and NAME_R.wav (what enters on the right) in place of NAME.wav.

Latency: responses of equalizers begin before time zero, for they turn no phase; the file is late by the latency that is
stated, and convolver plug-ins do not report it to the session. Move the tracks earlier by it, as below. A return bus
cannot be moved: what comes from it is later by its own latency.

Where a chain has a compressor, a gate or another processor that no impulse response holds, its parts stand before and
behind it, and the processor is to be set by hand: its settings are in the export `sheet`. Where a file holds gains
alone, a fader for each channel does the same. Where several lines lead to one place, their outputs are summed there.
Sends and keys are lines of their own.
"""
