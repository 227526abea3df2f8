"""The export `dawproject`: an open project file (XML and audio in a zip) that several DAWs read.

It opens on the printed stems, which sum to the found mix whatever a DAW makes of devices; the live mixer is beside
them, muted: groups of the dry tracks with built-in devices, volume, pan and sends.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from mixgraph.exports.dawproject_mixer import LiveChannel, Mixer, read_mixer
from mixgraph.exports.dawproject_strip import Strip
from mixgraph.exports.dawproject_xml import TEMPO, AudioFile, ProjectXml, metadata_xml
from mixgraph.exports.formats import FORMATS, ExportFormat, Progress
from mixgraph.exports.report import ExportReport
from mixgraph.exports.settings import Bits
from mixgraph.exports.source import ExportSource
from mixgraph.exports.stems import PrintedStem, print_stems
from mixgraph.exports.wav import FULL_SCALE_24, write_wav
from mixgraph.names import file_names, visible
from mixgraph.system.files import naming

_AUDIO = "audio"
_LIVE = "Live: unmute it, and mute its printed stem."
Sends = Sequence[tuple[str, float]]
_MADE = (1980, 1, 1, 0, 0, 0)  # the date of every entry: equal exports are equal files


@FORMATS.register
class DawProject(ExportFormat):
    """A DAWproject file."""

    name = "dawproject"
    summary = "an open project file (.dawproject): printed stems, and beside them the live mixer with built-in devices"
    suffix = ".dawproject"

    def write(self, source: ExportSource, folder: Path, report: ExportReport, progress: Progress) -> None:
        printed, gain = print_stems(
            source, folder, progress, dict.fromkeys(("track", "subgroup", "return", "rest"), _AUDIO)
        )
        mixer = read_mixer(source, printed, report)
        files = _Files(folder, source, len(printed))
        progress("writing the dry tracks")
        project = _project(mixer, files, 1 / gain, source.title)
        seconds = source.mix.shape[-1] / source.sample_rate
        report.note(*_notes(mixer, seconds, gain), *files.notes)
        comment = "Made by mixgraph from a found graph. " + " ".join(_HOW)
        texts = {
            "project.xml": project,
            "metadata.xml": metadata_xml(source.title, source.licence, comment),
        }
        progress("packing")
        _pack(folder / f"project{self.suffix}", texts, folder, files.used)
        shutil.rmtree(folder / _AUDIO)


_HOW = (
    "The project opens on the printed stems, because they sum to the found mix in every DAW; built-in devices are "
    "nearly what was found.",
    "To mix live, unmute a group or return bus and mute its printed stem, all of them at best: what a live track sends "
    "is heard in the live bus.",
    "In a live group a track is dry, with devices, where the format has all of its chain, and printed where not; the "
    "other one is muted beside it. What is left out of a group's own chain is heard in the group's printed stem alone.",
)


def _notes(mixer: Mixer, seconds: float, gain: float) -> list[str]:
    lines = [
        *_HOW,
        f"All clips begin at 0 and are {seconds:.3f} s long. Times are in seconds; the song's tempo is not known, the "
        f"project has {TEMPO} beats per minute.",
        "Pan is a linear balance: the louder channel keeps its level. Ratios R are in percent, 100 (1 - 1 / R).",
        "The file is checked against the format's schemas; no DAW has opened it here.",
    ]
    if gain != 1:
        lines.append("Printed stems are quieter in the files, so that none clips; their volumes undo it.")
    if mixer.rest is not None:
        lines.append(
            "The printed stem 'rest' is what the chain on the mix adds. To mix live, mute it and switch on the devices "
            "of the master."
        )
    return lines


class _Files:
    """Audio files of the project: printed ones, and dry ones, written as they are asked for."""

    def __init__(self, folder: Path, source: ExportSource, count: int) -> None:
        self._folder, self._source, self._count = folder, source, count
        self.used: list[str] = []
        self.notes: list[str] = []
        (folder / _AUDIO).mkdir(exist_ok=True)

    def printed(self, stem: PrintedStem) -> AudioFile:
        path = stem.file
        if not path.startswith(f"{_AUDIO}/"):
            path = self._next(path.removesuffix(".wav"))
            (self._folder / stem.file).rename(self._folder / path)
        return self._use(path)

    def dry(self, channel: LiveChannel) -> AudioFile:
        audio, settings = self._source.sources[channel.source], self._source.settings
        bits: Bits = settings.bits
        path = self._next(f"{channel.name} dry")
        if bits == "24" and float(audio.abs().max()) > FULL_SCALE_24:
            bits = "float"
            self.notes.append(f"{visible(path)} is 32-bit float: in 24 bits it would clip.")
        write_wav(self._folder / path, audio, self._source.sample_rate, bits)
        return self._use(path)

    def _next(self, name: str) -> str:
        """Returns a path whose number no other file has: DAWs take files of one name for one file."""
        self._count += 1
        return f"{_AUDIO}/{self._count:02d}_{file_names([name])[0]}.wav"

    def _use(self, path: str) -> AudioFile:
        self.used.append(path)
        return AudioFile(path, self._source.mix.shape[-1], self._source.sample_rate)


def _project(mixer: Mixer, files: _Files, printed_volume: float, title: str) -> bytes:
    """Builds project.xml: groups with their tracks and printed stems, return buses, the rest and the mix."""
    xml = ProjectXml(title)
    for bus in mixer.of_level("return"):
        xml.reserve_return(bus.name)
    fader = Strip(left=printed_volume, right=printed_volume)

    def add_printed(stem: PrintedStem, muted: bool, parent: Element | None = None, sends: Sends = ()) -> None:
        audio = files.printed(stem)
        xml.add_track(f"{stem.name} (printed)", fader, audio, muted=muted, parent=parent, sends=sends)

    def add_live(track: LiveChannel, parent: Element) -> None:
        name, strip, audio, sends = track.name, track.strip, files.dry(track), track.sends
        xml.add_track(name, strip, audio, muted=not strip.is_whole, parent=parent, sends=sends)
        if strip != Strip():
            add_printed(track.printed, strip.is_whole, parent, sends)

    for group in mixer.of_level("subgroup"):
        live = xml.add_track(group.name, group.strip, muted=True, role="submix", sends=group.sends, comment=_LIVE)
        for track in mixer.of_level("track"):
            if track.into == group.name:
                add_live(track, live)
        add_printed(group.printed, muted=False)
    for track in mixer.of_level("track"):
        if not track.into:
            xml.add_track(track.name, track.strip, files.dry(track), muted=True, sends=track.sends, comment=_LIVE)
            add_printed(track.printed, muted=False)
    for bus in mixer.of_level("return"):
        xml.add_track(bus.name, bus.strip, muted=True, role="effect", bus=bus.name, comment=_LIVE)
        add_printed(bus.printed, muted=False)
    if mixer.rest is not None:
        add_printed(mixer.rest, muted=False)
    add_printed(mixer.mix, muted=True)
    return xml.finish(mixer.master)


def _pack(path: Path, texts: dict[str, bytes], folder: Path, files: list[str]) -> None:
    """Writes the zip; audio files are removed as they are packed, and are not compressed."""
    with naming(path), zipfile.ZipFile(path, "x") as archive:
        for name, data in texts.items():
            entry = zipfile.ZipInfo(name, _MADE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
        for file in files:
            entry = zipfile.ZipInfo(file, _MADE)
            entry.file_size = (folder / file).stat().st_size
            with (folder / file).open("rb") as audio, archive.open(entry, "w") as packed:
                shutil.copyfileobj(audio, packed, 1 << 20)
            (folder / file).unlink()
