"""From a mix and its stems to a song: a folder of the normalised stems as tracks, and the mix, that any search reads.

normalised_stems/my_song/
    tracks/vocals.wav ...   the stems in the reference state, float32, of the mix's rate and length
    mix.wav                 the mix, decoded
    song.yaml               one subgroup a stem; says what the tracks are, which every result then repeats
    blind.json              what it was made of, and what was done to each stem
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from mixgraph.blind.normalise import is_silent, loudness, normalise_stem
from mixgraph.blind.reference import SHIPPED, ReferenceState, read_reference
from mixgraph.blind.stems import StemFile, describe_sum, find_stem_files
from mixgraph.demixing.files import demix_file
from mixgraph.demixing.module import load_demixer
from mixgraph.dsp.resample import resample
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.names import normal_form
from mixgraph.results.publish import FolderKind, Place, publish_folder, unlisted
from mixgraph.songs.audio import write_audio
from mixgraph.songs.decode import decode
from mixgraph.songs.formats import AUDIO_SUFFIXES, is_audio_file
from mixgraph.songs.group_targets import NOT_STEMS
from mixgraph.songs.load import describe_absurd
from mixgraph.songs.loudness import level_for
from mixgraph.songs.read_like import read_like
from mixgraph.system.files import file_sha256, json_text, parse_json, read_text, write_atomically

RECORD = "blind.json"
SHIPPED_REFERENCE, NO_REFERENCE = "shipped", "none"
EMPTY_GRAPH_LOSS = 0.15
"""A match loss of the plain sum of stems below which the verdict is "very close": no processor has anything to do."""
_FORMAT = "mixgraph blind song 1"
_TRACKS, _FILES = "tracks", ("mix.wav", "song.yaml")
_LEVEL_LUFS = -16.0  # at which losses are measured


def _listed(text: str) -> list[str]:
    return [*_FILES, *(f"{_TRACKS}/{row['stem']}.wav" for row in parse_json(text)["stems"])]


def _foreign(entries: list[Path]) -> list[Path]:
    return unlisted(entries, RECORD, _listed)


BLIND_SONG = FolderKind("song of normalised stems", _foreign, lambda folder: (folder / RECORD).is_file())


@dataclass(frozen=True)
class BlindSource:
    """What a song of normalised stems is made of.

    Attributes:
        mix: the folder of the mix, or its file.
        stems: folder of its stems; None where a demixer makes them.
        demixer: checkpoint of a demixer; None where there are stems.
        stem_names: name of a stem -> instrument, where the rule on names says none or another.
        reference: `"shipped"`, the file of a reference state, or `"none"`, which leaves stems as they are.
    """

    mix: Path
    stems: Path | None = None
    demixer: Path | None = None
    stem_names: Mapping[str, str] = field(default_factory=dict)
    reference: str = SHIPPED_REFERENCE

    def __post_init__(self) -> None:
        if self.stems is None and self.demixer is None:
            raise ValueError(
                f"data.stems, data.demixer: stems of {self.mix}, or a demixer that makes them, are needed, got "
                "neither. HINT: --data.stems=FOLDER that any demixer wrote, or --data.demixer=CHECKPOINT"
            )
        if self.stems is not None and self.demixer is not None:
            raise ValueError("data.stems, data.demixer: one of them is needed, got both. HINT: leave one out")


@dataclass(frozen=True)
class BlindSong:
    """A song of normalised stems on disk.

    Attributes:
        folder: its folder.
        notes: sentences on what was done, and on what is other than expected.
    """

    folder: Path
    notes: tuple[str, ...]


def find_mix_file(path: Path) -> Path:
    """Finds the mix of a song that has only a mix: the file itself, or the one in a folder.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: several files, or none, could be the mix.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"data.path: {path}: a folder with a mix, or the file of a mix, is needed, got none")
    files = [file for file in sorted(path.iterdir()) if is_audio_file(file)]
    named = [file for file in files if file.stem.casefold() in NOT_STEMS]
    candidates = named or files
    if len(candidates) != 1:
        got = ", ".join(file.name for file in candidates) or "none"
        raise ValueError(
            f"data.path: {path}: one file of a mix (mix.wav, or the only one of {', '.join(AUDIO_SUFFIXES)}) is "
            f"needed, got {got}. HINT: name the file itself"
        )
    return candidates[0]


def make_blind_song(source: BlindSource, out: Path, sample_rate: int, overwrite: bool = False) -> BlindSong:
    """Writes the song of normalised stems; one that was made of the same files is left as it is.

    Args:
        source: what it is made of.
        out: its folder.
        sample_rate: of the search, in Hz, at which the loss of the plain sum is measured.
        overwrite: replace one that was made of other files.

    Raises:
        FileExistsError: something else is at `out`.
        FileNotFoundError: a file or folder is missing.
        ValueError: stems that no search can explain a mix from: unknown names, all silent, or, without a reference
            state, such that their plain sum is the mix already.
    """
    mix_file = find_mix_file(source.mix)
    reference = None if source.reference == NO_REFERENCE else _reference(source.reference)
    instruments = list((reference or read_reference()).instruments)
    if source.stems is not None:
        files, notes = find_stem_files(source.stems, instruments, source.stem_names)
        made_of = _made_of(mix_file, source, reference, [stem.path for stem in files])
        return _publish(_Work(mix_file, files, notes, reference, sample_rate, made_of), out, overwrite)
    assert source.demixer is not None
    if not source.demixer.is_file():
        raise FileNotFoundError(f"data.demixer: a checkpoint of a demixer is needed, got no file at {source.demixer}")
    made_of = _made_of(mix_file, source, reference, [source.demixer])
    if (earlier := _earlier(out, made_of)) is not None:
        return earlier
    with tempfile.TemporaryDirectory() as folder:
        demix_file(load_demixer(source.demixer), mix_file, Path(folder) / "stems")
        files, notes = find_stem_files(Path(folder) / "stems", instruments, source.stem_names)
        return _publish(_Work(mix_file, files, notes, reference, sample_rate, made_of), out, overwrite)


def _reference(name: str) -> ReferenceState:
    return read_reference(SHIPPED if name == SHIPPED_REFERENCE else Path(name))


def _made_of(mix: Path, source: BlindSource, reference: ReferenceState | None, files: Sequence[Path]) -> dict[str, Any]:
    return {
        "mix": file_sha256(mix),
        "files": {path.name: file_sha256(path) for path in files},
        "stem_names": dict(source.stem_names),
        "reference": NO_REFERENCE if reference is None else reference.digest(),
        "by": "demixer" if source.stems is None else "stems",
    }


def _earlier(out: Path, made_of: Mapping[str, Any]) -> BlindSong | None:
    """Returns the song that was made of the same files before."""
    record = out / RECORD
    if not record.is_file():
        return None
    try:
        content = parse_json(read_text(record))
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get("format") != _FORMAT or content.get("made_of") != made_of:
        return None
    if not isinstance(notes := content.get("notes"), list):
        return None
    return BlindSong(out, (*map(str, notes), f"normalised stems of an earlier run are used: {out}"))


@dataclass(frozen=True, eq=False)
class _Work:
    """Everything that a song of normalised stems is written from."""

    mix_file: Path
    stems: list[StemFile]
    notes: list[str]
    reference: ReferenceState | None
    sample_rate: int  # of the search
    made_of: Mapping[str, Any]


def _publish(work: _Work, out: Path, overwrite: bool) -> BlindSong:
    if (earlier := _earlier(out, work.made_of)) is not None:
        return earlier
    place = Place(out, BLIND_SONG, "data.normalised", "choose another folder or set --data.overwrite=true")
    with publish_folder(place, overwrite) as folder:
        notes = _write(work, folder)
    return BlindSong(out, (*notes, f"normalised stems: {out / _TRACKS}"))


def _write(work: _Work, folder: Path) -> list[str]:
    mix, rate = _read_mix(work.mix_file, work.sample_rate)
    whole_lufs = loudness(mix, rate)
    notes, rows = list(work.notes), []
    stem_sum, track_sum = torch.zeros_like(mix), torch.zeros_like(mix)
    for stem in work.stems:
        audio, more = read_like(stem.path, rate, mix.shape[-1])
        notes += more
        stem_sum += audio
        if is_silent(audio, rate):
            cancels = any(not is_silent(channel[None], rate) for channel in audio)
            why = "its channels cancel each other in the centre" if cancels else "silent"
            notes.append(f"{stem.path.name}: {why}, so it is left out")
            continue
        row: dict[str, Any] = {"stem": stem.name, "instrument": stem.instrument}
        if work.reference is not None:
            normalised = normalise_stem(audio, rate, work.reference.instruments[stem.instrument], whole_lufs)
            audio = normalised.audio
            row |= {
                "gain_db": round(normalised.gain_db, 2),
                "band_gains_db": [round(gain, 2) for gain in normalised.band_gains_db],
            }
        track_sum += audio
        write_audio(folder / _TRACKS / f"{stem.name}.wav", audio, rate)
        rows.append(row)
    if not rows:
        raise ValueError(f"data.stems: stems that sound are needed, got {len(work.stems)} silent ones")
    notes += describe_sum(mix, stem_sum, rate)
    losses = {
        "plain_sum": _loss(mix, stem_sum, rate, work.sample_rate),
        "normalised_sum": _loss(mix, track_sum, rate, work.sample_rate),
    }
    if work.reference is None and losses["plain_sum"] <= EMPTY_GRAPH_LOSS:
        raise ValueError(
            f"data.reference: none: the plain sum of the stems is the mix already (match loss "
            f"{losses['plain_sum']:.4f}; {EMPTY_GRAPH_LOSS:g} is very close), so that the best graph is the empty one, "
            "and a search would find nothing. HINT: leave data.reference out: the stems are then brought to a "
            "reference state, and the graph says how the mix differs from it"
        )
    notes.append(_loss_note(losses, work.reference))
    write_audio(folder / "mix.wav", mix, rate)
    _write_texts(folder, work, rows, losses, notes)
    return notes


def _read_mix(path: Path, sample_rate: int) -> tuple[Tensor, int]:
    audio = decode(path, sample_rate)
    if (absurd := describe_absurd(path, audio.samples, audio.sample_rate)) is not None:
        raise ValueError(absurd)
    mix = audio.samples.expand(2, -1).contiguous()
    if is_silent(mix, audio.sample_rate):
        raise ValueError(f"data.path: {path}: a mix that sounds is needed, got a silent one")
    return mix, audio.sample_rate


def _loss(mix: Tensor, other: Tensor, rate: int, sample_rate: int) -> float:
    target, prediction = resample(mix, rate, sample_rate), resample(other, rate, sample_rate)
    factor = level_for(target, sample_rate, _LEVEL_LUFS).factor
    song = SongTarget(make_match_loss(sample_rate), target.mul(factor), max_bytes=0)  # it is compared once
    return float(song.score(prediction.mul(factor)).loss["full"])


def _loss_note(losses: Mapping[str, float], reference: ReferenceState | None) -> str:
    plain = f"the plain sum of the stems is at a match loss of {losses['plain_sum']:.3f}"
    if reference is None:
        return f"{plain}; they are left as they are"
    return f"{plain}, that of the normalised ones at {losses['normalised_sum']:.3f}, which the graph is to explain"


def _write_texts(
    folder: Path, work: _Work, rows: Sequence[Mapping[str, Any]], losses: Mapping[str, float], notes: Sequence[str]
) -> None:
    if work.reference is None:
        state = "none: the stems are as they were"
    else:
        songs = len(work.reference.sources)
        state = f"{work.reference.digest()}, of {songs} song{'' if songs == 1 else 's'}"
    name = work.mix_file.parent.name if work.mix_file.stem.casefold() in NOT_STEMS else work.mix_file.stem
    song = {
        "title": name,
        "reference_state": state,
        "subgroups": {normal_form(row["stem"]): [normal_form(f"{row['stem']}.wav")] for row in rows},
    }
    write_atomically(folder / "song.yaml", yaml.safe_dump(song, sort_keys=False, allow_unicode=True).encode())
    record = {
        "format": _FORMAT,
        "made_of": work.made_of,
        "losses": losses,
        "stems": rows,
        "notes": notes,
    }
    write_atomically(folder / RECORD, (json_text(record, indent=1) + "\n").encode())
