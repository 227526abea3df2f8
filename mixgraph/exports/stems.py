"""The export `stems`: every track, subgroup and return bus as it sounds behind its chain, as WAV files for any DAW.

All files begin at the song's first sample and are equally long: a DAW that places them at one time plays the mix. The
files of one subgroup's tracks sum to the input of its chain; those of subgroups, returns and the rest sum to the mix.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from mixgraph.exports.formats import FORMATS, ExportFormat, Progress
from mixgraph.exports.report import ExportReport
from mixgraph.exports.source import ExportSource
from mixgraph.exports.wav import FULL_SCALE_24, read_wav, write_wav
from mixgraph.names import file_names, spreadsheet_cell
from mixgraph.results.stems import stem_places
from mixgraph.system.files import write_atomically

CUE_SHEET = "cue_sheet"
_FOLDERS = {"track": "1_tracks", "subgroup": "2_subgroups", "return": "2_subgroups", "rest": "2_subgroups"}
_LEAST_DB = -180.0


@dataclass(frozen=True)
class PrintedStem:
    """A printed stem: its file, its place, and its peak before any scaling.

    Attributes:
        file: path in the export's folder.
        level: `track`, `subgroup`, `return`, `rest` or `mix`.
        name: name of the track, subgroup or bus.
        into: the subgroup whose input the file is summed to; `""` for the mix.
        peak: largest absolute sample.
    """

    file: str
    level: str
    name: str
    into: str
    peak: float


def print_stems(
    source: ExportSource, folder: Path, progress: Progress, folders: dict[str, str] | None = None
) -> tuple[list[PrintedStem], float]:
    """Writes all printed stems and the mix, as the settings say.

    Args:
        source: the found graph and its tracks.
        folder: folder to write to.
        progress: takes a line on what is being done.
        folders: stem level -> folder for its files.

    Returns:
        The stems, the mix last, and the gain that all of them were scaled by, 1 in most cases: 24-bit files that would
        clip are all scaled by the same factor.
    """
    folders = _FOLDERS if folders is None else folders
    count = len(stem_places(source.found_graph.graph))
    printed: list[PrintedStem] = []
    taken: dict[str, set[str]] = {}
    numbers: dict[str, int] = {}
    for stem in source.stems():
        place = stem.place
        below = folders[place.level]
        numbers[below] = numbers.get(below, 0) + 1
        (name,) = file_names([place.name], taken.setdefault(below, set()))
        file = f"{below}/{numbers[below]:0{max(2, len(str(count)))}d}_{name}.wav"
        progress(f"printing {len(printed) + 1} of {count}: {place.level} {place.name}")
        write_wav(folder / file, stem.audio, source.sample_rate)
        printed.append(PrintedStem(file, place.level, place.name, place.into, float(stem.audio.abs().max())))
    write_wav(folder / "mix.wav", source.mix, source.sample_rate)
    printed.append(PrintedStem("mix.wav", "mix", "mix", "", float(source.mix.abs().max())))
    if source.settings.bits == "float":
        return printed, 1.0
    peak = max(stem.peak for stem in printed)
    gain = 1.0 if peak <= FULL_SCALE_24 else FULL_SCALE_24 / peak
    for row in printed:
        write_wav(folder / row.file, read_wav(folder / row.file) * gain, source.sample_rate, "24")
    return printed, gain


@FORMATS.register
class Stems(ExportFormat):
    """Printed stems with a cue sheet of levels."""

    name = "stems"
    summary = "printed stems: every track and subgroup behind its chain, and the mix, as WAV files of one length"

    def write(self, source: ExportSource, folder: Path, report: ExportReport, progress: Progress) -> None:
        printed, gain = print_stems(source, folder, progress)
        seconds = source.mix.shape[-1] / source.sample_rate
        bits = "32-bit float" if source.settings.bits == "float" else "24-bit"
        report.note(
            f"{len(printed)} stereo files of {bits}, all {source.mix.shape[-1]} samples ({seconds:.3f} s) long and "
            "beginning at the song's first sample.",
            "Put the files of 2_subgroups on tracks at 0 dB, panned hard left and right (stereo): they sum to the mix.",
            "In place of a subgroup, its tracks from 1_tracks sum to the input of the subgroup's chain, which is not "
            "in them.",
        )
        loud = [stem for stem in printed if stem.peak > 1]
        if gain != 1:
            back = -20 * math.log10(gain)
            report.note(
                f"All files are {back:.2f} dB quieter, so that none clips: +{back:.2f} dB on the mix undoes it."
            )
        elif loud:
            report.note(
                f"Peaks above full scale, which float files keep: {', '.join(stem.file for stem in loud)}. Do not "
                "convert these to fixed-point files without lowering them."
            )
        progress("writing the cue sheet")
        write_atomically(folder / f"{CUE_SHEET}.txt", _cue_text(source, printed, gain).encode())
        write_atomically(folder / f"{CUE_SHEET}.csv", _cue_csv(printed, gain).encode())


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else _LEAST_DB


def _sums_to(stem: PrintedStem) -> str:
    if stem.level == "mix":
        return "-"
    return f"input of {stem.into}" if stem.into else "mix"


def _cue_text(source: ExportSource, printed: list[PrintedStem], gain: float) -> str:
    width = max(len(stem.file) for stem in printed)
    lines = [
        f"{source.title}: printed stems at {source.sample_rate} Hz",
        "",
        f"{'file':<{width}}  {'kind':<9} {'peak':>9} {'fader':>9}  sums to",
    ]
    for stem in printed:
        peak = f"{_decibels(stem.peak * gain):.1f} dB"
        fader = f"{-_decibels(gain) + 0.0:+.2f} dB"
        lines.append(f"{stem.file:<{width}}  {stem.level:<9} {peak:>9} {fader:>9}  {_sums_to(stem)}")
    lines += ["", "peak: of the file. fader: gain that gives the level of the found mix."]
    return "\n".join(lines) + "\n"


def _cue_csv(printed: list[PrintedStem], gain: float) -> str:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["file", "kind", "name", "sums_to", "peak_db", "fader_db"])
    for stem in printed:
        peak, fader = _decibels(stem.peak * gain), -_decibels(gain) + 0.0
        row = [stem.file, stem.level, stem.name, _sums_to(stem), f"{peak:.2f}", f"{fader:.2f}"]
        rows.writerow(map(spreadsheet_cell, row))
    return stream.getvalue()
