"""The export `reaper`: a found graph as a REAPER project.

Each chain is a track with our own effects (JSFX), each subgroup a folder, each return bus a track with receives. The
folder of the export holds:

PROJECT.RPP               the project
Effects/NAME              the effects and the impulse responses of its convolvers, to be copied to REAPER's Effects
Media/Tracks              the dry tracks
Media/Printed             printed stems, on muted tracks, and the found mix
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path

from mixgraph.exports.formats import FORMATS, ExportFormat, Progress
from mixgraph.exports.reaper_effects import EffectNode, approximation, effect_of, send_gain
from mixgraph.exports.reaper_project import Insert, Item, Receive, Track, project_text
from mixgraph.exports.reaper_strips import OUT, Desk, Strip, find_strips
from mixgraph.exports.report import ExportReport
from mixgraph.exports.source import ExportSource
from mixgraph.exports.stems import PrintedStem, print_stems
from mixgraph.exports.wav import FULL_SCALE_24, write_wav
from mixgraph.graph import INPUT, MIX
from mixgraph.names import file_names
from mixgraph.results.changes import graph_hash
from mixgraph.results.stems import StemPlace, stem_places
from mixgraph.system.files import write_atomically

_PRINTED = {"track": "tracks", "subgroup": "groups", "return": "groups", "rest": "groups"}
_GOLDEN = 0.618034
_QUIET = (110, 110, 110)
_LONGEST = 40


@FORMATS.register
class Reaper(ExportFormat):
    """A REAPER project with our effects, responses and printed stems."""

    name = "reaper"
    summary = "a REAPER project: tracks, folders, sends, our effects as JSFX, printed stems as muted tracks"

    def write(self, source: ExportSource, folder: Path, report: ExportReport, progress: Progress) -> None:
        session = _Session(source, folder, report, progress)
        tracks = session.live_tracks()
        printed, gain = print_stems(source, folder / "Media" / "Printed", progress, _PRINTED)
        session.add_printed(tracks, printed, 1 / gain)
        progress("writing the project")
        effects = files("mixgraph.exports") / "jsfx"
        for effect in effects.iterdir():
            if effect.name.endswith(".jsfx"):
                write_atomically(session.effects / effect.name, effect.read_bytes())
        seconds = source.mix.shape[-1] / source.sample_rate
        notes = [f"{source.title}: written by mixgraph."]
        notes += [f"Licence of the song: {source.licence}."] if source.licence else []
        text = project_text(tracks, source.sample_rate, seconds, [*notes, *session.how_to_open()])
        (name,) = file_names([source.title])
        write_atomically(folder / f"{name}.RPP", text.encode())
        report.note(
            *session.how_to_open(),
            "Unmute the track `Null test` to hear what differs from the found mix. mixgraph was tested without REAPER: "
            "effects and project by an interpreter and a player of its own.",
        )


@dataclass
class _Session:
    """The parts of a project while it is written.

    Attributes:
        source: what is exported.
        folder: the export's folder.
        report: takes what is approximated and left out.
        progress: takes a line on what is being done.
        desk: the strips of the graph.
        responses: impulse responses written so far.
    """

    source: ExportSource
    folder: Path
    report: ExportReport
    progress: Progress
    desk: Desk = field(init=False)
    responses: int = 0

    def __post_init__(self) -> None:
        found = self.source.found_graph
        self.desk = find_strips(found.graph)
        self.mark = graph_hash(found)[:8]
        plain = re.sub(r"[^A-Za-z0-9]+", "_", found.name).strip("_")[:_LONGEST]
        self.effects_name = "_".join(part for part in ("mixgraph", plain, self.mark) if part)
        self.effects = self.folder / "Effects" / self.effects_name
        self.effects.mkdir(parents=True)
        self.weight_of = dict(zip(found.graph.processors, found.weights.tolist(), strict=True))

    def how_to_open(self) -> list[str]:
        """Lines that a user must read before the project is opened."""
        return [
            f"Copy the folder Effects/{self.effects_name} into the folder Effects of REAPER's resource path "
            "(Options > Show REAPER resource path), then open the project.",
            f"Keep the project at {self.source.sample_rate} Hz, the rate of its impulse responses.",
        ]

    def live_tracks(self) -> list[Track]:
        """Makes a track of every strip; returns those that stand in no folder."""
        desk = self.desk
        tracks = [self._track(number, strip) for number, strip in enumerate(desk.strips)]
        for number, strip in enumerate(desk.strips):
            for cable in strip.sends:
                gain = 1.0
                for send in cable.sends:
                    gain *= send_gain(self._node(send))
                if cable.target != OUT and gain > 0:
                    tracks[cable.target].receives.append(Receive(tracks[number].key, gain, cable.key))
            if strip.folder != OUT:
                tracks[strip.folder].folder.append(tracks[number])
        at_top = [track for track, strip in zip(tracks, desk.strips, strict=True) if strip.folder == OUT]
        for place, track in enumerate(at_top):
            _paint(track, place * _GOLDEN % 1.0, 0.55)
        return at_top

    def _track(self, number: int, strip: Strip) -> Track:
        graph, origin = self.desk.graph, self.desk.origin
        head = origin[strip.head]
        parts = (self.source.found_graph.graph.names[head], *self.source.found_graph.graph.branch(head))
        track = Track(self._key(f"strip {number}"), ", ".join(parts), main_send=strip.main_send)
        if graph.types[strip.head] == INPUT:
            track.items.append(self._dry(graph.rows[strip.head], graph.names[strip.head]))
        for node in strip.effects:
            self._insert(track, node)
        return track

    def _dry(self, row: int, name: str) -> Item:
        """Writes a dry track; a 24-bit file that would clip is quieter, and the item louder."""
        audio, bits = self.source.sources[row], self.source.settings.bits
        (file_name,) = file_names([name])
        file = f"Media/Tracks/{row + 1:03d}_{file_name}.wav"
        self.progress(f"writing track {row + 1} of {len(self.source.sources)}: {name}")
        peak = float(audio.abs().max()) if audio.numel() else 0.0
        gain = FULL_SCALE_24 / peak if bits == "24" and peak > FULL_SCALE_24 else 1.0
        write_wav(self.folder / file, audio * gain, self.source.sample_rate, bits)
        return Item(file, name, 1 / gain)

    def _insert(self, track: Track, node: int) -> None:
        """Adds the effect of a processor to a track, and says where it is none, or not quite the processor."""
        values = self._node(node)
        if values.weight == 0 and not values.processor.cuts:
            return
        place, _, name = self.source.found_graph.graph.label(self.desk.origin[node]).rpartition(": ")
        effect = effect_of(values)
        if effect is None:
            self.report.left_out(f"{place}: {name}", "there is no such effect for REAPER; the printed stems have it")
            return
        if text := approximation(values):
            self.report.approximated(f"{place}: {name}", text)
        if effect.envelope:
            track.envelope = effect.envelope
            return
        sliders = dict(effect.sliders)
        if effect.response is not None:
            self.responses += 1
            sliders[1] = float(self.responses)
            file = self.effects / f"response_{self.responses}.wav"
            write_wav(file, effect.response.samples, self.source.sample_rate)
        track.inserts.append(Insert(f"{self.effects_name}/{effect.file}.jsfx", effect.name, sliders))

    def _node(self, node: int) -> EffectNode:
        found, origin = self.source.found_graph, self.desk.origin[node]
        node_type, row = found.graph.types[origin], found.graph.rows[origin]
        return EffectNode(
            self.desk.graph.types[node],
            found.processors[self.desk.graph.types[node]],
            {name: value[row : row + 1].detach().cpu() for name, value in found.parameters[node_type].items()},
            self.weight_of[origin],
            found.level,
            self.source.mix.shape[-1],
        )

    def add_printed(self, tracks: list[Track], printed: list[PrintedStem], volume: float) -> None:
        """Adds printed stems: those of tracks beside them, all others in a folder; and the mix, inverted.

        Args:
            tracks: the tracks that stand in no folder; more are added.
            printed: the files of the stems, the mix last.
            volume: gain that gives them their level.
        """
        by_key = {track.key: track for track in _all(tracks)}
        folder = Track(self._key("printed"), "Printed stems", _QUIET, muted=True)
        for number, (stem, place) in enumerate(zip_longest(printed[:-1], stem_places(self.source.found_graph.graph))):
            item = Item(f"Media/Printed/{stem.file}", stem.name, volume)
            track = Track(self._key(f"printed {number}"), f"{stem.name} (printed)", _QUIET, [item])
            group = self._group(place) if stem.level == "track" else None
            if group is None:
                folder.folder.append(track)
                continue
            track.muted = True
            self._put_beside(track, place, by_key[self._key(f"strip {group}")].folder, by_key)
        if folder.folder:
            tracks.append(folder)
        mix = Item(f"Media/Printed/{printed[-1].file}", "found mix", volume)
        null = Track(self._key("null"), "Null test: the found mix, inverted", _QUIET, [mix], muted=True, inverted=True)
        tracks.append(null)

    def _group(self, place: StemPlace) -> int | None:
        """The strip of the subgroup that a stem is a part of."""
        graph, desk = self.source.found_graph.graph, self.desk
        sums = {s for node, _ in place.ends for s in graph.successors[node] if graph.types[s] == MIX}
        for number, strip in enumerate(desk.strips):
            if desk.origin[strip.head] in sums and place.into and graph.names[desk.origin[strip.head]] == place.into:
                return number
        return None

    def _put_beside(self, track: Track, place: StemPlace, folder: list[Track], by_key: dict[str, Track]) -> None:
        """Puts a printed track behind the live one, and sends it to where that is sent: to return buses and keys."""
        desk = self.desk
        head = self.source.found_graph.graph.chain_head(place.ends[0][0])
        live = [i for i, strip in enumerate(desk.strips) if desk.origin[strip.head] == head]
        ends = [
            i for i, strip in enumerate(desk.strips) if {desk.origin[strip.tail]} == {node for node, _ in place.ends}
        ]
        keys = [other.key for other in folder]
        behind = [keys.index(self._key(f"strip {i}")) + 1 for i in live if self._key(f"strip {i}") in keys]
        folder.insert(behind[0] if behind else len(folder), track)
        for source in (self._key(f"strip {i}") for i in ends[:1]):
            for other in by_key.values():
                other.receives += [Receive(track.key, r.volume, r.key) for r in other.receives if r.source == source]

    def _key(self, name: str) -> str:
        return f"{self.mark} {name}"


def _all(tracks: list[Track]) -> list[Track]:
    return [track for parent in tracks for track in (parent, *_all(parent.folder))]


def _paint(track: Track, hue: float, strength: float) -> None:
    """Gives a track and those in its folder colours of one hue, paler inside."""
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, strength, 0.75))
    track.colour = (red, green, blue)
    for inner in track.folder:
        _paint(inner, hue, max(0.2, strength - 0.2))
