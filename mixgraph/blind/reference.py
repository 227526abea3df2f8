"""The reference state: how loud each instrument is in a mix on average, and its mean long-term spectrum, in a file."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixgraph.names import shown_value
from mixgraph.system.files import json_text, parse_json, read_text, write_atomically

BANDS_HZ = tuple(1000 * 2 ** (third / 3) for third in range(-16, 13))
"""The centres of third-octave bands, from 24.8 Hz to 16 kHz."""
SHIPPED = Path(__file__).with_name("reference.json")
"""The reference state that comes with mixgraph."""
_FORMAT = "mixgraph reference state 1"


@dataclass(frozen=True)
class InstrumentState:
    """The reference state of one instrument.

    Attributes:
        loudness_lu: mean loudness, in LU against the sum of all stems of a song.
        loudness_spread_lu: standard deviation over songs; 0 for one song.
        levels_db: mean level of each band of BANDS_HZ, in dB against the sum of all bands; None where no song has it.
        songs: the names of the songs that it was measured from.
    """

    loudness_lu: float
    loudness_spread_lu: float
    levels_db: tuple[float | None, ...]
    songs: tuple[str, ...]


@dataclass(frozen=True)
class ReferenceSong:
    """A song that a reference state was measured from.

    Attributes:
        name: its name.
        licence: licence of its audio, as its files state it.
        seconds: its length.
    """

    name: str
    licence: str
    seconds: float


@dataclass(frozen=True)
class ReferenceState:
    """The mean loudness and spectrum of instruments, and the songs that they were measured from.

    Attributes:
        instruments: name of an instrument, such as vocals, to its state.
        sources: the songs.
    """

    instruments: Mapping[str, InstrumentState]
    sources: tuple[ReferenceSong, ...]

    def digest(self) -> str:
        """Returns the first digits of the sha256 of what acts on stems: the instruments, without the sources."""
        states = {name: asdict(state) for name, state in sorted(self.instruments.items())}
        return hashlib.sha256(json.dumps(states, sort_keys=True).encode()).hexdigest()[:12]


def write_reference(path: Path, reference: ReferenceState) -> None:
    """Writes a reference state to a JSON file.

    Raises:
        OSError: the file cannot be written.
    """
    record = {
        "format": _FORMAT,
        "bands_hz": [round(hertz, 1) for hertz in BANDS_HZ],
        "instruments": {name: asdict(state) for name, state in reference.instruments.items()},
        "sources": [asdict(song) for song in reference.sources],
    }
    write_atomically(path, (json_text(record, indent=1) + "\n").encode())


def read_reference(path: Path = SHIPPED) -> ReferenceState:
    """Reads a reference state from the file that `write_reference` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is none of a reference state; the message names the part that is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"reference: {path} is no file. HINT: leave it out for mixgraph's own; tools/measure_reference.py makes one"
        )
    try:
        record = parse_json(read_text(path))
    except ValueError as error:
        raise ValueError(f"reference: {path}: JSON is needed, got {error}") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        got = shown_value(record.get("format") if isinstance(record, dict) else record)
        raise ValueError(f"reference: {path}: format: {_FORMAT!r} is needed, got {got}")
    stated, sources = record.get("instruments"), record.get("sources")
    if not isinstance(stated, dict) or not stated:
        raise ValueError(f"reference: {path}: instruments: at least one is needed, got {shown_value(stated)}")
    if not isinstance(sources, list):
        raise ValueError(f"reference: {path}: sources: a list is needed, got {shown_value(sources)}")
    instruments = {name: _state(path, name, values) for name, values in stated.items()}
    try:
        songs = tuple(ReferenceSong(str(s["name"]), str(s["licence"]), float(s["seconds"])) for s in sources)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(f"reference: {path}: sources: name, licence and seconds of each song are needed") from None
    return ReferenceState(instruments, songs)


def _state(path: Path, name: str, values: Any) -> InstrumentState:
    where = f"reference: {path}: {name}"
    if not isinstance(values, dict):
        raise ValueError(f"{where}: a mapping is needed, got {shown_value(values)}")
    levels, songs = values.get("levels_db"), values.get("songs")
    if not isinstance(levels, list) or len(levels) != len(BANDS_HZ):
        raise ValueError(f"{where}: levels_db: a list of {len(BANDS_HZ)} levels is needed, got {shown_value(levels)}")
    if not all(level is None or _is_number(level) for level in levels) or all(level is None for level in levels):
        raise ValueError(f"{where}: levels_db: numbers of dB or null are needed, got {shown_value(levels)}")
    for key in ("loudness_lu", "loudness_spread_lu"):
        if not _is_number(values.get(key)):
            raise ValueError(f"{where}: {key}: a number of LU is needed, got {shown_value(values.get(key))}")
    if not isinstance(songs, list):
        raise ValueError(f"{where}: songs: a list of names is needed, got {shown_value(songs)}")
    return InstrumentState(
        float(values["loudness_lu"]),
        float(values["loudness_spread_lu"]),
        tuple(None if level is None else float(level) for level in levels),
        tuple(map(str, songs)),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
