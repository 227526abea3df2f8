"""project.xml and metadata.xml of a DAWproject, version 1.0 of the format (Project.xsd, MetaData.xsd)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from mixgraph.exports.dawproject_strip import MOST_VOLUME, Device, DynamicsDevice, EqualizerDevice, Strip
from mixgraph.names import visible

TEMPO = 120
"""Beats per minute of the project: the tempo of a song is not known, and all times are in seconds."""
_FIRST_HZ, _LAST_HZ = 20.0, 20000.0


@dataclass(frozen=True)
class AudioFile:
    """A WAV file of the project: its path in the zip, and its length."""

    path: str
    frames: int
    sample_rate: int
    channels: int = 2

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate


class ProjectXml:
    """Builds project.xml, channel by channel; identifiers are given in order.

    Args:
        title: title of the song, the name of the arrangement.
    """

    def __init__(self, title: str) -> None:
        self._count = 0
        self._root = Element("Project", version="1.0")
        SubElement(self._root, "Application", name="mixgraph", version=version("mixgraph"))
        transport = SubElement(self._root, "Transport")
        self._real(transport, "Tempo", TEMPO, "bpm", "Tempo", 20, 666)
        SubElement(transport, "TimeSignature", denominator="4", numerator="4", id=self._id())
        self._structure = SubElement(self._root, "Structure")
        arrangement = SubElement(self._root, "Arrangement", id=self._id(), name=visible(title))
        self._lanes = SubElement(arrangement, "Lanes", timeUnit="seconds", id=self._id())
        SubElement(self._root, "Scenes")
        self._master = Element("Track", contentType="audio", loaded="true", id=self._id(), name="Master")
        self._master_channel = self._channel(self._master, "master", "")
        self._returns: dict[str, str] = {}

    @property
    def master(self) -> str:
        """The identifier of the master channel."""
        return self._master_channel.attrib["id"]

    def reserve_return(self, bus: str) -> None:
        """Gives the channel of a return bus its identifier, so that tracks before it can send to it."""
        self._returns[bus] = self._id()

    def add_track(
        self,
        name: str,
        strip: Strip,
        audio: AudioFile | None = None,
        *,
        muted: bool = False,
        parent: Element | None = None,
        role: str = "regular",
        sends: Sequence[tuple[str, float]] = (),
        bus: str = "",
        comment: str = "",
    ) -> Element:
        """Adds a track with its channel, and a clip of its audio from the beginning to the end.

        Args:
            name: what users see.
            strip: its devices and fader.
            audio: what it plays; None for groups and return buses.
            muted: whether it is silent when the project is opened.
            parent: the group that it is in; None for the mix.
            role: the role of the channel: `regular`, `submix` or `effect`.
            sends: (return bus, gain) pairs.
            bus: the return bus that the channel is.
            comment: a line on the track.

        Returns:
            The track, which can be the parent of others.
        """
        holds = "tracks" if role == "submix" else "audio"
        above = self._structure if parent is None else parent
        track = SubElement(above, "Track", contentType=holds, loaded="true", id=self._id(), name=visible(name))
        if comment:
            track.attrib["comment"] = visible(comment)
        into = self.master if parent is None else parent.find("Channel").attrib["id"]  # type: ignore[union-attr]
        channel = self._channel(track, role, into, self._returns.get(bus, ""))
        volume = self._fill_channel(channel, strip, muted, sends)
        lanes = SubElement(self._lanes, "Lanes", track=track.attrib["id"], id=self._id())
        if audio is not None:
            self._clip(lanes, name, audio)
        if strip.automation:
            self._automation(lanes, volume, strip)
        return track

    def finish(self, master: Strip) -> bytes:
        """Adds the master, with devices that are switched off, and returns project.xml."""
        self._fill_channel(self._master_channel, master, False, (), enabled=False)
        self._structure.append(self._master)
        ElementTree.indent(self._root)
        return _document(self._root)

    def _id(self) -> str:
        self._count += 1
        return f"id{self._count}"

    def _real(
        self,
        parent: Element,
        tag: str,
        value: float,
        unit: str,
        name: str,
        low: float | None = None,
        high: float | None = None,
    ) -> str:
        bounds = {key: _number(bound) for key, bound in (("max", high), ("min", low)) if bound is not None}
        made = SubElement(parent, tag, {**bounds, "unit": unit, "value": _number(value)}, id=self._id(), name=name)
        return made.attrib["id"]

    def _bool(self, parent: Element, tag: str, value: bool, name: str) -> None:
        SubElement(parent, tag, value=str(value).lower(), id=self._id(), name=name)

    def _channel(self, track: Element, role: str, into: str, identifier: str = "") -> Element:
        destination = {"destination": into} if into else {}
        return SubElement(
            track,
            "Channel",
            {"audioChannels": "2", **destination, "role": role, "solo": "false", "id": identifier or self._id()},
        )

    def _fill_channel(
        self, channel: Element, strip: Strip, muted: bool, sends: Sequence[tuple[str, float]], enabled: bool = True
    ) -> str:
        """Adds devices, mute, pan, sends and volume, in the order of the schema; returns the volume's identifier."""
        if strip.devices:
            devices = SubElement(channel, "Devices")
            for device in strip.devices:
                self._device(devices, device, enabled)
        self._bool(channel, "Mute", muted, "Mute")
        self._real(channel, "Pan", strip.pan, "normalized", "Pan", 0, 1)
        if sends:
            listed = SubElement(channel, "Sends")
            for bus, gain in sends:
                send = SubElement(
                    listed, "Send", destination=self._returns[bus], type="post", id=self._id(), name=visible(bus)
                )
                self._bool(send, "Enable", True, "Enable")
                self._real(send, "Pan", 0.5, "normalized", "Pan", 0, 1)
                self._real(send, "Volume", gain, "linear", "Send", 0, max(1.0, gain))
        return self._real(channel, "Volume", strip.volume, "linear", "Volume", 0, MOST_VOLUME)

    def _device(self, parent: Element, device: Device, enabled: bool) -> None:
        tag = device.tag if isinstance(device, DynamicsDevice) else "Equalizer"
        made = SubElement(
            parent,
            tag,
            deviceName=tag,
            deviceRole="audioFX",
            loaded="true",
            id=self._id(),
            name=visible(device.name),
        )
        self._bool(made, "Enabled", enabled, "On/Off")
        if isinstance(device, EqualizerDevice):
            self._equalizer(made, device)
        else:
            self._dynamics(made, device)

    def _equalizer(self, made: Element, device: EqualizerDevice) -> None:
        for order, band in enumerate(device.bands):
            element = SubElement(made, "Band", type=band.type, order=str(order))
            hertz = min(max(band.hertz, _FIRST_HZ), _LAST_HZ)
            self._real(element, "Freq", hertz, "hertz", f"Band {order + 1} Frequency", _FIRST_HZ, _LAST_HZ)
            self._real(element, "Gain", band.gain_db, "decibel", f"Band {order + 1} Gain")
            self._real(element, "Q", band.q, "linear", f"Band {order + 1} Q")
            self._bool(element, "Enabled", True, f"Band {order + 1}")
        self._real(made, "OutputGain", device.output_gain_db, "decibel", "Output")

    def _dynamics(self, made: Element, device: DynamicsDevice) -> None:
        self._real(made, "Attack", device.attack_seconds, "seconds", "Attack")
        if device.tag == "Compressor":
            self._bool(made, "AutoMakeup", False, "Auto Makeup")
            self._real(made, "InputGain", 0, "decibel", "Input")
            self._real(made, "OutputGain", device.output_gain_db, "decibel", "Output")
        else:
            self._real(made, "Range", device.range_db, "decibel", "Range")
        self._real(made, "Ratio", device.amount, "percent", "Ratio", 0, 100)
        self._real(made, "Release", device.release_seconds, "seconds", "Release")
        self._real(made, "Threshold", device.threshold_db, "decibel", "Threshold")

    def _clip(self, lanes: Element, name: str, audio: AudioFile) -> None:
        clips = SubElement(lanes, "Clips", id=self._id())
        seconds = _number(audio.seconds)
        clip = SubElement(
            clips,
            "Clip",
            {"time": "0", "duration": seconds, "contentTimeUnit": "seconds", "playStart": "0", "name": visible(name)},
        )
        rate, channels = str(audio.sample_rate), str(audio.channels)
        content = SubElement(clip, "Audio", channels=channels, duration=seconds, sampleRate=rate, id=self._id())
        SubElement(content, "File", path=audio.path)

    def _automation(self, lanes: Element, volume: str, strip: Strip) -> None:
        points = SubElement(lanes, "Points", unit="linear", timeUnit="seconds", id=self._id())
        SubElement(points, "Target", parameter=volume)
        for seconds, gain_db in strip.automation:
            value = _number(strip.volume * 10 ** (gain_db / 20))
            SubElement(points, "RealPoint", time=_number(seconds), value=value, interpolation="linear")


def metadata_xml(title: str, licence: str, comment: str) -> bytes:
    """Returns metadata.xml: title, licence (as copyright) and a comment."""
    root = Element("MetaData")
    for tag, text in (("Title", title), ("Copyright", licence), ("Comment", comment)):
        if text:
            SubElement(root, tag).text = visible(text)
    ElementTree.indent(root)
    return _document(root)


def _document(root: Element) -> bytes:
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _number(value: float) -> str:
    """Writes a number so that it is read as the same one; without a bound `inf` and `-inf`."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.12g}"
