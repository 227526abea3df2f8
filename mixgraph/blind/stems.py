"""Stems of a mix in a folder, whoever wrote it: their names, and how far their sum is from the mix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixgraph.dsp.octaves import octave_bins, octave_names
from mixgraph.names import did_you_mean
from mixgraph.songs.formats import AUDIO_SUFFIXES, is_audio_file
from mixgraph.songs.group_targets import NOT_STEMS, refuse_two_of_one_name
from mixgraph.songs.stem_rule import STANDS_FOR
from mixgraph.songs.subgroup_rule import OTHER, subgroup_of, words_of

REST = ("instrumental", "accompaniment", "karaoke", "rest", "residual", "music")
"""Names of stems that hold what others leave over, as all that begin with `no_` do; they are `other`."""
NOTABLE_DB = -20.0
"""A sum of stems that is further from the mix than this, against the mix, is told, by octave."""


@dataclass(frozen=True)
class StemFile:
    """A file of a stem, and the instrument whose reference state it is brought to."""

    path: Path
    instrument: str

    @property
    def name(self) -> str:
        return self.path.stem


def find_stem_files(
    folder: Path, instruments: Sequence[str], names: Mapping[str, str] | None = None
) -> tuple[list[StemFile], list[str]]:
    """Finds the stems in a folder, and the instrument of each by its name.

    What `names` says decides. Else a stem is the instrument of its name; or the one that the rule on track names
    (`songs.subgroup_rule`) puts it to; or `other` where the rule knows the name and the reference has no such
    instrument, or where the name says that it is the rest. Files that are named like a mix are left out.

    Args:
        folder: a folder of audio files.
        instruments: those of the reference state.
        names: name of a stem (its file's, without the suffix) -> instrument.

    Returns:
        The stems, and sentences on what is other than expected.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no stems, two of one name, or a name that says no instrument; the message says how to map it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data.stems: {folder}: a folder of stems is needed, got {'a file' if folder.exists() else 'none'}"
        )
    paths = [path for path in sorted(folder.iterdir()) if is_audio_file(path)]
    mixes = [path.name for path in paths if path.stem.casefold() in NOT_STEMS]
    paths = [path for path in paths if path.name not in mixes]
    if not paths:
        shown = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "an empty folder"
        raise ValueError(
            f"data.stems: {folder}: files such as vocals.wav and drums.wav ({', '.join(AUDIO_SUFFIXES)}) are needed, "
            f"got {shown}. HINT: name the folder that holds the stems themselves, such as separated/htdemucs/SONG"
        )
    stems = [path.stem for path in paths]
    refuse_two_of_one_name(paths, f"data.stems: {folder}")
    chosen = _chosen(names or {}, stems, instruments)
    notes = [f"{name}: left out, since it is named like a mix" for name in mixes]
    found, unknown = [], []
    for path in paths:
        instrument = chosen.get(path.stem) or instrument_of(path.stem, instruments)
        if instrument is None:
            unknown.append(path.stem)
            continue
        found.append(StemFile(path, instrument))
        if path.stem not in chosen and path.stem.casefold() != instrument.casefold():
            notes.append(f"{path.name}: taken for {instrument}, by its name; --data.stem_names tells it otherwise")
    if unknown:
        example = ", ".join(f"{name}: {OTHER if OTHER in instruments else instruments[0]}" for name in unknown)
        raise ValueError(
            f"data.stems: {folder}: names that say an instrument ({', '.join(instruments)}) are needed, got "
            f'{", ".join(unknown)}. HINT: say which they are, --data.stem_names "{{{example}}}"; move what is '
            "no stem, such as a copy of the mix, elsewhere"
        )
    return found, notes


def instrument_of(stem: str, instruments: Sequence[str]) -> str | None:
    """Returns the instrument that the name of a stem says, or None where it says none.

    >>> instrument_of("Vocals", ("vocals", "other")), instrument_of("no_vocals", ("vocals", "other"))
    ('vocals', 'other')
    >>> instrument_of("piano", ("vocals", "other")), instrument_of("x1", ("vocals", "other"))
    ('other', None)

    Many demixers put the name of the song in front, so that the end of a name decides before the rest of it does:

    >>> instrument_of("1_Bass Line_(Instrumental)", ("vocals", "bass", "other"))
    'other'
    >>> instrument_of("song_no_vocals", ("vocals", "other"))
    'other'
    """
    by_name = {instrument.casefold(): instrument for instrument in instruments}
    name = stem.casefold()
    if name in by_name:
        return by_name[name]
    words = words_of(stem)
    last = words[-1] if words else ""
    lacks_one = len(words) > 1 and words[-2] == "no" and subgroup_of(last) != OTHER
    if name.startswith(("no_", "no-")) or lacks_one or last in REST:
        return by_name.get(OTHER)
    if last in by_name:
        return by_name[last]
    group = subgroup_of(stem)
    if group == OTHER:
        return None
    for known in (group, STANDS_FOR.get(group, group), OTHER):
        if known in by_name:
            return by_name[known]
    return None


def _chosen(names: Mapping[str, str], stems: Sequence[str], instruments: Sequence[str]) -> Mapping[str, str]:
    for stem, instrument in names.items():
        if stem not in stems:
            raise ValueError(
                f"data.stem_names: names of stems ({', '.join(stems)}) are needed, got {stem}."
                f"{did_you_mean(stem, stems)}"
            )
        if instrument not in instruments:
            raise ValueError(
                f"data.stem_names: instruments of the reference state ({', '.join(instruments)}) are needed, got "
                f"{instrument} for {stem}.{did_you_mean(instrument, instruments)}"
            )
    return names


def describe_sum(mix: Tensor, stem_sum: Tensor, sample_rate: int) -> list[str]:
    """Says how far the sum of stems is from their mix where that is notable: in all, and by octave.

    Args:
        mix: (2, samples).
        stem_sum: (2, samples).
        sample_rate: in Hz.
    """
    difference, mix_power = mix - stem_sum, _product(mix, mix)
    whole_db = _ratio_db(_product(difference, difference), mix_power)
    if whole_db <= NOTABLE_DB:
        return []
    octaves = {
        label: level
        for label, level in octave_differences_db(mix, difference, sample_rate).items()
        if level is not None
    }
    shown = ", ".join(f"{name} {level:+.0f}" for name, level in octaves.items())
    line = (
        f"the stems do not sum to the mix: the difference is at {whole_db:+.1f} dB of the mix; by octave (Hz, dB): "
        f"{shown}. What they lack, no graph of them has. "
    )
    power, common = _product(stem_sum, stem_sum), _product(mix, stem_sum)
    factor = common / power if power else 0.0
    better_db = _ratio_db(mix_power - factor * common, mix_power)
    if factor > 0 and better_db <= min(NOTABLE_DB, whole_db - 6):
        return [
            line + f"HINT: all stems {20 * math.log10(factor):+.1f} dB would leave {better_db:+.1f} dB; that is done "
            "by the normalisation in any case"
        ]
    return [line + "HINT: are they of this mix, whole, in time with it, and is none missing?"]


def octave_differences_db(mix: Tensor, difference: Tensor, sample_rate: int) -> dict[str, float | None]:
    """Returns the level of a difference against the mix in each octave, in dB; None where the mix has nothing.

    Args:
        mix: (2, samples).
        difference: (2, samples).
        sample_rate: in Hz.
    """
    powers = [torch.zeros(0)] * 2
    for number, signal in enumerate((mix, difference)):
        spectrum = torch.zeros(_BLOCK // 2 + 1, dtype=torch.float64)
        for block in signal.split(_BLOCK, dim=-1):
            spectrum += torch.fft.rfft(block.double(), n=_BLOCK).abs().square().sum(0)
        powers[number] = spectrum
    levels: dict[str, float | None] = {}
    for name, inside in zip(octave_names(sample_rate), octave_bins(_BLOCK, sample_rate), strict=True):
        of_mix, of_difference = (float(power[inside].sum()) for power in powers)
        levels[name] = _ratio_db(of_difference, of_mix) if of_mix > 0 else None
    return levels


_BLOCK = 1 << 15


def _product(first: Tensor, second: Tensor) -> float:
    """The inner product of two signals, a stretch at a time."""
    pairs = zip(first.split(_BLOCK, dim=-1), second.split(_BLOCK, dim=-1), strict=True)
    return sum(float((a.double() * b.double()).sum()) for a, b in pairs)


def _ratio_db(power: float, whole: float) -> float:
    return 10 * math.log10(max(power, 1e-20 * whole, 1e-300) / max(whole, 1e-300))
