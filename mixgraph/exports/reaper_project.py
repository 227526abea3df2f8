"""REAPER project files (.RPP): plain text, a setting a line, blocks from `<NAME` to `>`.

The facts are those of projects that REAPER 6 and 7 wrote: receives stand at the track that receives, name their source
by its number among all tracks, and need a TRACKID; a folder begins at `ISBUS 1 1` and ends at `ISBUS 2 -n`; the values
of an effect's sliders are 64 words, `-` where there is none.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mixgraph.names import visible

_SLIDERS = 64
_FLOAT_WAV = "ZXZhdyAAAQ=="  # the render format "evaw", 32 bits
_COLOURED = 1 << 24
_NO_MIDI = 31
_NAMESPACE = uuid.UUID("a5fd7c9e-7a9c-5a4f-9d3c-6c1f52b0f1f4")


@dataclass(frozen=True)
class Item:
    """An audio file on a track, from the beginning of the project.

    Attributes:
        file: path from the folder of the project, with slashes.
        name: what is shown.
        volume: gain of the item.
    """

    file: str
    name: str
    volume: float = 1.0


@dataclass(frozen=True)
class Insert:
    """A JSFX in the chain of a track.

    Attributes:
        path: from REAPER's folder Effects, with slashes.
        name: what is shown.
        sliders: values by number, from 1.
    """

    path: str
    name: str
    sliders: Mapping[int, float]


@dataclass(frozen=True)
class Receive:
    """Audio from another track.

    Attributes:
        source: key of the track that sends, behind its effects and its fader.
        volume: gain.
        key: whether it goes to channels 3 and 4.
    """

    source: str
    volume: float = 1.0
    key: bool = False


@dataclass
class Track:
    """A track, with those in its folder.

    Attributes:
        key: names the track within the project.
        name: what is shown.
        colour: red, green and blue, 0 to 255.
        items: its audio.
        inserts: its effects.
        receives: what is sent to it.
        folder: the tracks that are summed at its input; a muted folder is shown closed.
        envelope: (seconds, gain) points of its volume.
        main_send: whether it is heard in its folder, or in the mix.
        muted: whether it is muted.
        inverted: whether its polarity is inverted.
    """

    key: str
    name: str
    colour: tuple[int, int, int] = (128, 128, 128)
    items: list[Item] = field(default_factory=list)
    inserts: list[Insert] = field(default_factory=list)
    receives: list[Receive] = field(default_factory=list)
    folder: list[Track] = field(default_factory=list)
    envelope: Sequence[tuple[float, float]] = ()
    main_send: bool = True
    muted: bool = False
    inverted: bool = False


def project_text(tracks: Sequence[Track], sample_rate: int, seconds: float, notes: Sequence[str] = ()) -> str:
    """Returns the text of a project.

    Args:
        tracks: the tracks that stand in no folder, in order, with those in their folders.
        sample_rate: of the project, in Hz.
        seconds: length of all items.
        notes: lines of the project's notes.
    """
    placed = list(_flat(tracks, 0))
    number = {track.key: i for i, (track, _) in enumerate(placed)}
    if len(number) < len(placed):
        raise ValueError("tracks: keys that differ are needed")
    lines = [
        '<REAPER_PROJECT 0.1 "7.0" 0',
        "  <NOTES 0 2",
        *(f"    |{visible(note)}" for note in notes),
        "  >",
        "  AUTOXFADE 0",
        "  FEEDBACK 0",
        "  PANLAW 1",
        "  PANMODE 3",
        '  RECORD_PATH "Media" ""',
        f"  RENDER_FMT 0 2 {sample_rate}",
        "  RENDER_RANGE 1 0 0 0 1000",
        "  RENDER_STEMS 0",
        "  RENDER_DITHER 0",
        f"  SAMPLERATE {sample_rate} 1 0",
        "  <RENDER_CFG",
        f"    {_FLOAT_WAV}",
        "  >",
        "  TEMPO 120 4 4",
        "  PLAYRATE 1 0 0.25 4",
        "  MASTERMUTESOLO 0",
        "  MASTER_NCH 2 2",
        "  MASTER_VOLUME 1 0 -1 -1 1",
        "  MASTER_PANMODE 3",
        "  MASTER_FX 1",
    ]
    for i, (track, depth) in enumerate(placed):
        closed = depth - (placed[i + 1][1] if i + 1 < len(placed) else 0)
        lines += (f"  {line}" for line in _track_lines(track, closed, number, seconds))
    return "\n".join([*lines, ">", ""])


def quoted(text: str) -> str:
    """Returns a word as REAPER reads it: in quotes that the text does not have; backticks of one that has all change.

    Line ends and other controls become spaces.
    """
    plain = "".join(c if c.isprintable() else " " for c in text)
    for quote in "\"'`":
        if quote not in plain:
            return f"{quote}{plain}{quote}"
    return f"`{plain.replace('`', chr(39))}`"


def _flat(tracks: Sequence[Track], depth: int) -> Iterator[tuple[Track, int]]:
    for track in tracks:
        yield track, depth
        yield from _flat(track.folder, depth + 1)


def _track_lines(track: Track, closed: int, number: Mapping[str, int], seconds: float) -> list[str]:
    red, green, blue = track.colour
    state = "1 1" if track.folder else f"2 -{closed}" if closed else "0 0"
    channels = 4 if any(receive.key for receive in track.receives) else 2
    lines = [
        f"<TRACK {_guid(track.key)}",
        f"  NAME {quoted(track.name)}",
        f"  PEAKCOL {_COLOURED | blue << 16 | green << 8 | red}",
        "  BEAT -1",
        "  AUTOMODE 0",
        "  VOLPAN 1 0 -1 -1 1",
        f"  MUTESOLO {int(track.muted)} 0 0",
        f"  IPHASE {int(track.inverted)}",
        f"  ISBUS {state}",
        f"  BUSCOMP {2 if track.folder and track.muted else 0} 0 0 0 0",
        "  SEL 0",
        f"  NCHAN {channels}",
        "  FX 1",
        f"  TRACKID {_guid(track.key)}",
        "  PERF 0",
    ]
    for receive in track.receives:
        channel = 2 if receive.key else 0
        lines.append(
            f"  AUXRECV {number[receive.source]} 0 {_number(receive.volume)} 0 0 0 0 0 {channel} -1:U {_NO_MIDI} -1 ''"
        )
    lines += ["  MIDIOUT -1", f"  MAINSEND {int(track.main_send)} 0"]
    if track.envelope:
        lines += ["  <VOLENV2", f"    EGUID {_guid(track.key + ' volume')}", "    ACT 1 -1", "    VIS 1 1 1"]
        lines += ["    ARM 0", "    DEFSHAPE 0 -1 -1", "    VOLTYPE 0"]
        lines += [f"    PT {_number(time)} {_number(gain)} 0" for time, gain in track.envelope]
        lines.append("  >")
    if track.inserts:
        lines += ["  <FXCHAIN", "    SHOW 0", "    LASTSEL 0", "    DOCKED 0"]
        for i, insert in enumerate(track.inserts):
            values = [_number(insert.sliders[n]) if n in insert.sliders else "-" for n in range(1, _SLIDERS + 1)]
            lines += ["    BYPASS 0 0 0", f"    <JS {quoted(insert.path)} {quoted(insert.name)}"]
            lines += [f"      {' '.join(values)}", "    >", "    FLOATPOS 0 0 0 0"]
            lines += [f"    FXID {_guid(f'{track.key} effect {i}')}", "    WAK 0 0"]
        lines.append("  >")
    for i, item in enumerate(track.items):
        lines += (f"  {line}" for line in _item_lines(item, f"{track.key} item {i}", seconds))
    return [*lines, ">"]


def _item_lines(item: Item, key: str, seconds: float) -> list[str]:
    return [
        "<ITEM",
        "  POSITION 0",
        "  SNAPOFFS 0",
        f"  LENGTH {_number(seconds)}",
        "  LOOP 0",
        "  ALLTAKES 0",
        "  FADEIN 0 0 0 0 0 0 0",
        "  FADEOUT 0 0 0 0 0 0 0",
        "  MUTE 0 0",
        "  SEL 0",
        f"  IGUID {_guid(key)}",
        f"  NAME {quoted(item.name)}",
        f"  VOLPAN {_number(item.volume)} 0 1 -1",
        "  SOFFS 0",
        "  PLAYRATE 1 1 0 -1 0 0.0025",
        "  CHANMODE 0",
        f"  GUID {_guid(key + ' take')}",
        "  <SOURCE WAVE",
        f"    FILE {quoted(item.file)}",
        "  >",
        ">",
    ]


def _guid(key: str) -> str:
    """The same for the same track of the same project, so that an export again gives the same bytes."""
    return f"{{{str(uuid.uuid5(_NAMESPACE, key)).upper()}}}"


def _number(value: float) -> str:
    """A number without an exponent, which not every reader takes."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
