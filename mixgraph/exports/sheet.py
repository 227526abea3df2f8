"""The export `sheet`: the settings of a found graph in units of plug-ins, as text, CSV and JSON, with pictures."""

from __future__ import annotations

import csv
import io
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixgraph.exports.curves import curve_picture
from mixgraph.exports.formats import FORMATS, ExportFormat, Progress
from mixgraph.exports.plugin_settings import Device, Setting, read_device
from mixgraph.exports.report import ExportReport
from mixgraph.exports.source import ExportSource
from mixgraph.exports.stretches import find_chains, node_labels
from mixgraph.names import file_names, spreadsheet_cell, visible
from mixgraph.report.bands import LOWEST_HZ, BandFit
from mixgraph.report.settings import NodeSettings
from mixgraph.system.files import json_text, write_atomically

SHEET = "sheet"
_COLUMNS = ("chain", "position", "processor", "setting", "value", "unit", "meaning")
_SHOWN_ECHOES_DB, _MOST_ECHOES = 30.0, 12  # in the text: so far below the loudest, and so many
_HEARD_ECHOES_DB = 60.0  # in the tables
_WIDTH = 110


@dataclass(frozen=True, eq=False)
class SheetChain:
    """A chain on the sheet: `track kick`, where it leads to, and its plug-ins in the signal's order."""

    place: str
    leads_to: tuple[str, ...]
    devices: tuple[Device, ...]


@FORMATS.register
class Sheet(ExportFormat):
    """Settings to type into plug-ins."""

    name = "sheet"
    summary = "settings to type into plug-ins: text, CSV, JSON, and a picture of each equalizer's curve with its bands"
    needs_tracks = False

    def write(self, source: ExportSource, folder: Path, report: ExportReport, progress: Progress) -> None:
        labels = node_labels(source.found_graph.graph)
        devices: list[Device] = []
        for node in source.node_settings:
            progress(f"reading {len(devices) + 1} of {len(source.node_settings)}: {labels[node.node]}")
            devices.append(read_device(node, source.sample_rate))
            _report(node, devices[-1], labels[node.node], report)
        pictures = _write_pictures(folder, devices, progress)
        chains = _chains(source, devices)
        report.note(
            f"{len(devices)} processors. {SHEET}.txt is for people; {SHEET}.csv and {SHEET}.json hold the same."
        )
        write_atomically(folder / f"{SHEET}.txt", _text(source, chains, pictures, labels).encode())
        write_atomically(folder / f"{SHEET}.csv", _table(chains).encode())
        write_atomically(folder / f"{SHEET}.json", json_text(_record(source, chains, pictures), indent=1).encode())


def _chains(source: ExportSource, devices: list[Device]) -> list[SheetChain]:
    """Groups plug-ins by chain; chains without any are there, too."""
    graph = source.found_graph.graph
    chains = []
    for chain in find_chains(source.found_graph):
        ends = dict.fromkeys(stretch.end.label for stretch in chain.stretches if stretch.end.processor is None)
        inside = tuple(device for device in devices if graph.chain_head(device.node) == chain.head)
        chains.append(SheetChain(chain.place, tuple(ends), inside))
    return chains


def _write_pictures(folder: Path, devices: list[Device], progress: Progress) -> dict[int, str]:
    """Writes a picture of each equalizer; returns their names by node."""
    pictures: dict[int, str] = {}
    taken: set[str] = set()
    for device in devices:
        if device.fit is None:
            continue
        (name,) = file_names([f"{len(pictures) + 1:02d}_{device.place}"], taken)
        progress(f"drawing {device.place}: {device.name}")
        (folder / "curves").mkdir(exist_ok=True)
        write_atomically(folder / "curves" / f"{name}.png", curve_picture(device.fit, f"{device.place}: {device.name}"))
        pictures[device.node] = f"curves/{name}.png"
    return pictures


def _report(node: NodeSettings, device: Device, label: str, report: ExportReport) -> None:
    """Says what the settings of a plug-in do not hold."""
    if device.fit is not None:
        report.approximated(label, f"its curve, by {len(device.fit.bands)} bands: {_error_text(device.fit)}")
        if node.processor.before:
            report.approximated(label, "it turns no phase, as a plug-in of linear phase; others turn it")
    if device.echoes:
        report.left_out(label, "the tone of each echo; the export impulses has it")
    if node.processor.late and not device.echoes:
        report.approximated(label, "decay times and level; its very sound is in the export impulses")
    if any(setting.name == "time_constant_ms" for setting in device.settings):
        report.approximated(label, "one time constant for attack and release; plug-ins measure both in their own ways")
    if node.processor.type_id is None or node.processor.type_id >= 1000:
        report.approximated(label, "settings as the processor itself tells them; it is from outside mixgraph")


def _error_text(fit: BandFit) -> str:
    highest = f"{fit.highest_hz / 1000:.0f} kHz"
    return (
        f"{fit.rms_error_db:.2f} dB (rms) and {fit.max_error_db:.1f} dB (at most) away from {LOWEST_HZ:.0f} Hz to "
        f"{highest}, {fit.third_octave_error_db:.1f} dB at most in means over a third of an octave"
    )


def _text(source: ExportSource, chains: list[SheetChain], pictures: dict[int, str], labels: dict[int, str]) -> str:
    count = sum(len(chain.devices) for chain in chains)
    lines = [f"{source.title}: {count} processors, as plug-ins in a session at {source.sample_rate} Hz", ""]
    lines += [line for topic, text in CONVENTIONS.items() for line in textwrap.wrap(f"{topic}: {text}", _WIDTH)]
    lines += source.placement_lines
    graph = source.found_graph.graph
    for chain in chains:
        if not chain.devices:
            continue
        lines += ["", f"{chain.place}  ->  {', '.join(chain.leads_to)}"]
        for position, device in enumerate(chain.devices, start=1):
            branch = device.place.removeprefix(chain.place).removeprefix(", ")
            lines.append(f"  {position}. {device.name}{f' (on {branch})' if branch else ''}")
            keys = [labels[key] for key in graph.keys[device.node]]
            lines += [f"       key: the output of {', '.join(keys)}"] if keys else []
            lines += [f"       {line}" for line in _device_lines(device, pictures.get(device.node))]
    plain: dict[tuple[str, ...], list[str]] = {}
    for chain in chains:
        if not chain.devices:
            plain.setdefault(chain.leads_to, []).append(chain.place)
    lines += ["", "Without processors, summed as they are:"] if plain else []
    for ways, places in plain.items():
        lines += textwrap.wrap(
            f"{', '.join(places)}  ->  {', '.join(ways)}", _WIDTH, initial_indent="  ", subsequent_indent="    "
        )
    return "\n".join(visible(line) for line in lines) + "\n"


def _device_lines(device: Device, picture: str | None) -> list[str]:
    plain = [setting for setting in device.settings if not setting.name.startswith("band_")]
    width = max((len(setting.label) for setting in plain), default=0)
    lines = [f"{setting.label:<{width}}  {setting.text}" for setting in plain]
    if device.fit is not None:
        for i, band in enumerate(device.fit.bands, start=1):
            lines.append(f"band {i}: {band.kind:<10} {band.hertz:>7.0f} Hz  {band.gain_db:+6.1f} dB  Q {band.q:.2f}")
        lines.append(_error_text(device.fit))
        lines.append(f"picture: {picture}")
    lines += _echo_lines(device)
    lines += [f"{seconds:>8.2f} s  {level:+.1f} dB" for seconds, level in device.points]
    return [*lines, *device.remarks]


def _echo_lines(device: Device) -> list[str]:
    if not device.echoes:
        return []
    loudest = max(echo.level_db for echo in device.echoes)
    near = [echo for echo in device.echoes if echo.level_db >= loudest - _SHOWN_ECHOES_DB]
    shown = sorted(sorted(near, key=lambda echo: -echo.level_db)[:_MOST_ECHOES], key=lambda echo: echo.ms)
    lines = [f"echo {echo.channel:<5} {echo.ms:>7.1f} ms  {echo.level_db:+6.1f} dB" for echo in shown]
    more = len(device.echoes) - len(shown)
    return [*lines, f"and {more} quieter ones, which the tables have"] if more else lines


def _table(chains: list[SheetChain]) -> str:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    for chain in chains:
        for position, device in enumerate(chain.devices, start=1):
            for setting in _all_settings(device):
                value = "" if setting.value is None else f"{setting.value:.6g}"
                row = [device.place, position, device.processor, setting.name, value, setting.unit, setting.label]
                table.writerow(map(spreadsheet_cell, row))
    return stream.getvalue()


def _all_settings(device: Device) -> list[Setting]:
    settings = list(device.settings)
    if device.fit is not None:
        settings += [
            Setting("fit_rms_error_db", "error of the bands, rms", device.fit.rms_error_db, "dB"),
            Setting("fit_max_error_db", "error of the bands, at most", device.fit.max_error_db, "dB"),
        ]
    for i, echo in enumerate(_heard(device), start=1):
        settings.append(Setting(f"echo_{i}_{echo.channel}_ms", f"echo {i}, {echo.channel}: time", echo.ms, "ms"))
        settings.append(Setting(f"echo_{i}_{echo.channel}_db", f"echo {i}, {echo.channel}: level", echo.level_db, "dB"))
    for i, (seconds, level) in enumerate(device.points, start=1):
        settings.append(Setting(f"point_{i}_seconds", f"point {i}: time", seconds, "s"))
        settings.append(Setting(f"point_{i}_db", f"point {i}: gain", level, "dB"))
    return settings


def _heard(device: Device) -> list[Any]:
    loudest = max((echo.level_db for echo in device.echoes), default=0.0)
    return [echo for echo in device.echoes if echo.level_db >= loudest - _HEARD_ECHOES_DB]


def _record(source: ExportSource, chains: list[SheetChain], pictures: dict[int, str]) -> dict[str, Any]:
    return {
        "song": source.title,
        "sample_rate": source.sample_rate,
        "searched_at": source.searched.sample_rate,
        "conventions": CONVENTIONS,
        "chains": [
            {
                "place": chain.place,
                "leads_to": list(chain.leads_to),
                "plugins": [_device_record(source, device, pictures.get(device.node)) for device in chain.devices],
            }
            for chain in chains
        ],
    }


def _device_record(source: ExportSource, device: Device, picture: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {"place": device.place, "processor": device.processor, "name": device.name}
    record["settings"] = {
        setting.name: setting.value for setting in device.settings if not setting.name.startswith("band_")
    }
    keys = [node_labels(source.found_graph.graph)[key] for key in source.found_graph.graph.keys[device.node]]
    if keys:
        record["key"] = keys
    if device.fit is not None:
        record["bands"] = [
            {"kind": band.kind, "frequency_hz": band.hertz, "gain_db": band.gain_db, "q": band.q}
            for band in device.fit.bands
        ]
        record["fit"] = {
            "rms_error_db": device.fit.rms_error_db,
            "max_error_db": device.fit.max_error_db,
            "max_third_octave_error_db": device.fit.third_octave_error_db,
            "from_hz": LOWEST_HZ,
            "to_hz": device.fit.highest_hz,
        }
        record["picture"] = picture
    if device.echoes:
        record["echoes"] = [
            {"channel": echo.channel, "time_ms": echo.ms, "level_db": echo.level_db} for echo in _heard(device)
        ]
    if device.points:
        record["automation"] = [{"seconds": seconds, "gain_db": level} for seconds, level in device.points]
    return record


CONVENTIONS = {
    "Order": "plug-ins stand in the order of the signal; faders are at 0 dB but for what is stated.",
    "Levels": (
        "tracks play at the level of their files. A mono file counts as two equal channels at its level: where the "
        "session pans by -3 dB in the middle, a mono track without gain/panning needs +3 dB."
    ),
    "Equalizers": (
        "bells and shelves of the audio EQ cookbook, in series, at 100 % wet: the dry share is in them. A shelf has "
        "half its gain in dB at its frequency. Other plug-ins may mean something else by the Q of a shelf."
    ),
    "Thresholds": (
        "at the input of the plug-in, behind all before it. RMS is the mean power of left and right against full scale "
        "(a square of full scale has 0 dBFS, a sine of full scale -3 dBFS). For plug-ins that measure peaks, the peak "
        "of a steady sine that lies at the threshold is stated, too."
    ),
    "Times": (
        "those of dynamics are time constants of the power: after that time 63 % of a change are done, and the level "
        "of a sound that has ended falls by 4.3 dB. Both channels get the same gain."
    ),
    "Pan law": (
        "mono track: constant power, -3 dB in the middle: left = fader x cos a, right = fader x sin a, a from 0 "
        "degrees (-100 %) to 90 (+100 %). Stereo track: balance, 0 dB in the middle: the side that it is turned away "
        "from is multiplied by 1 - balance."
    ),
    "Mix": "the wet share, where the settings do not have the dry sound in them: (1 - mix) x dry + mix x wet.",
}
"""What the numbers of a sheet mean, by topic."""
