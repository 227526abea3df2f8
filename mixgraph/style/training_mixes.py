"""The style of the mixes that networks were trained on: their statistics in a file, and means for given instruments."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.names import shown_value
from mixgraph.songs.song import Song
from mixgraph.songs.stem_rule import target_of
from mixgraph.style.mix_statistics import MixStatistics
from mixgraph.system.files import json_text, parse_json, read_text, write_atomically

INSTRUMENTS = ("vocals", "drums", "bass", "other")
SHIPPED = Path(__file__).with_name("mixes.json")
"""The statistics of mixes that come with mixgraph."""
_FORMAT = "mixgraph statistics of mixes 1"
_LEAST_LIKENESS = 0.1  # a mix of other instruments still counts a little
_NAMES = tuple(MixStatistics.__dataclass_fields__)
_SCALARS = ("loudness_lufs", "loudness_range_lu")


@dataclass(frozen=True)
class MeasuredMix:
    """The statistics of one mix.

    Attributes:
        name: the song's name.
        licence: the licence of its audio, as its files state it.
        instruments: those of `INSTRUMENTS` that have tracks in the song.
        statistics: name of a statistic of `MixStatistics` -> its value or values.
    """

    name: str
    licence: str
    instruments: tuple[str, ...]
    statistics: Mapping[str, float | Sequence[float]]


@dataclass(frozen=True, eq=False)
class MeanStyle:
    """The mean style of some mixes.

    Attributes:
        statistics: weighted means of their statistics.
        spread: weighted standard deviations.
        names: the songs that they were taken from.
    """

    statistics: MixStatistics
    spread: MixStatistics
    names: tuple[str, ...]


@dataclass(frozen=True)
class TrainingMixes:
    """The statistics of several mixes, all at one loudness and sample rate.

    Attributes:
        sample_rate: in Hz.
        mixes: the mixes.
    """

    sample_rate: int
    mixes: tuple[MeasuredMix, ...]

    def mean(self, instruments: Collection[str] = (), without: Collection[str] = ()) -> MeanStyle:
        """Returns the mean style for a song's instruments.

        A mix counts by the share of instruments that it has in common with the song, of those that either has, and by a
        tenth if there are none; where no instruments are named, all mixes count alike.

        Args:
            instruments: some of `INSTRUMENTS`, see `instruments_of`.
            without: names of songs that are left out, such as the song that a mean is judged on.

        Raises:
            ValueError: no mix is left.
        """
        mixes = [mix for mix in self.mixes if mix.name not in without]
        if not mixes:
            raise ValueError(f"without: at least one mix has to be left, got {', '.join(sorted(without))}")
        weights = torch.tensor([_likeness(mix.instruments, instruments) for mix in mixes])
        weights = weights / weights.sum()
        means, spreads = {}, {}
        for name in _NAMES:
            values = torch.stack([torch.tensor(mix.statistics[name]) for mix in mixes])
            rows = weights.view(-1, *(1,) * (values.dim() - 1))
            means[name] = (rows * values).sum(0)
            spreads[name] = (rows * (values - means[name]).square()).sum(0).sqrt()
        return MeanStyle(MixStatistics(**means), MixStatistics(**spreads), tuple(mix.name for mix in mixes))


def _likeness(mine: Collection[str], others: Collection[str]) -> float:
    if not others:
        return 1.0
    either, both = {*mine, *others}, {*mine} & {*others}
    return max(_LEAST_LIKENESS, len(both) / len(either))


def instruments_of(song: Song) -> tuple[str, ...]:
    """Returns the instruments that have tracks in a song, by the rule of the demixer (`songs.stem_rule`)."""
    found = {target_of(group, track, INSTRUMENTS) for group, tracks in song.subgroups.items() for track in tracks}
    return tuple(name for name in INSTRUMENTS if name in found)


def plain_statistics(statistics: MixStatistics) -> dict[str, float | list[float]]:
    """Returns statistics as JSON can hold them, rounded to hundredths."""

    def plain(value: Tensor) -> Any:
        return [round(v, 2) for v in value.tolist()] if value.dim() else round(float(value), 2)

    return {name: plain(value.detach()) for name, value in statistics.by_name().items()}


def write_training_mixes(path: Path, mixes: TrainingMixes) -> None:
    """Writes statistics of mixes to a JSON file.

    Raises:
        OSError: the file cannot be written.
    """
    record = {"format": _FORMAT, "sample_rate": mixes.sample_rate, "mixes": [asdict(mix) for mix in mixes.mixes]}
    write_atomically(path, (json_text(record) + "\n").encode())


def read_training_mixes(path: Path = SHIPPED) -> TrainingMixes:
    """Reads statistics of mixes from a file that `write_training_mixes` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is none of statistics of mixes; the message names the part that is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"style: {path} is no file. HINT: leave it out for mixgraph's own; see tools.measure_style"
        )
    try:
        record = parse_json(read_text(path))
    except ValueError as error:
        raise ValueError(f"style: {path}: JSON is needed, got {error}") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        got = shown_value(record.get("format") if isinstance(record, dict) else record)
        raise ValueError(f"style: {path}: format: {_FORMAT!r} is needed, got {got}")
    rate, rows = record.get("sample_rate"), record.get("mixes")
    if not isinstance(rate, int) or not isinstance(rows, list) or not rows:
        raise ValueError(f"style: {path}: sample_rate and at least one of mixes are needed")
    mixes = [_mix(path, number, row) for number, row in enumerate(rows)]
    sizes = {name: len(values) for name, values in mixes[0].statistics.items() if isinstance(values, Sequence)}
    for mix in mixes:
        for name, size in sizes.items():
            values = mix.statistics[name]
            if not isinstance(values, Sequence) or len(values) != size:
                raise ValueError(f"style: {path}: {mix.name}: {name}: {size} values are needed, as in the first mix")
    return TrainingMixes(rate, tuple(mixes))


def _mix(path: Path, number: int, row: Any) -> MeasuredMix:
    where = f"style: {path}: mixes: {number}"
    if not isinstance(row, dict) or not isinstance(row.get("statistics"), dict):
        raise ValueError(f"{where}: name, licence, instruments and statistics are needed, got {shown_value(row)}")
    statistics = {}
    for name in _NAMES:
        value = row["statistics"].get(name)
        values = [value] if name in _SCALARS else value
        if not isinstance(values, list) or not values or not all(map(_is_number, values)):
            raise ValueError(f"{where}: {name}: finite numbers are needed, got {shown_value(value)}")
        statistics[name] = float(values[0]) if name in _SCALARS else tuple(map(float, values))
    instruments = row.get("instruments")
    if not isinstance(instruments, list):
        raise ValueError(f"{where}: instruments: a list of names is needed, got {shown_value(instruments)}")
    return MeasuredMix(str(row.get("name")), str(row.get("licence")), tuple(map(str, instruments)), statistics)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
