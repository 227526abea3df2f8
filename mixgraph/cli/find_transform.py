"""`python -m mixgraph find-transform STEMS...`: ranks sliced transforms for given stems by ideal masks."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.system.files import append_text, parse_json, read_text, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from mixgraph.dsp.slicqt.choosing import TransformSettings
    from mixgraph.songs.manifest import TrackFile

METHODS = ("random", "optuna")
STFT = "stft 4096/1024"
_DESCRIPTION = (
    "Ranks settings of the sliced constant-Q transform by what ideal ratio masks, with the phase of the mix, separate "
    "on given stems. Each STEMS is a folder whose audio files are summed to a mix, or a song's folder, whose tracks "
    "are, at the offsets and polarities that the song states. The first trial is the choice of xumx-sliCQ-V2 (262 Bark "
    "bands from 32.9 Hz) where it fits. The figure is the median of all stems' signal-to-distortion ratios in dB."
)


@dataclass(frozen=True, eq=False)
class Stems:
    """The stems of one folder: (channels, samples) each, at one sample rate.

    Attributes:
        folder: where they were read.
        sample_rate: of all of them, in Hz.
        names: of those with sound in the excerpt.
        audio: theirs, in the same order.
        note: a line on those that were left out, or None.
    """

    folder: Path
    sample_rate: int
    names: list[str]
    audio: list[Tensor] = field(repr=False)
    note: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = CommandParser(description=_DESCRIPTION)
    parser.add_argument("stems", type=Path, nargs="+", metavar="STEMS", help="folder of stems, or of a song")
    parser.add_argument("--trials", type=int, default=60, help="settings to try, earlier ones included (%(default)s)")
    parser.add_argument("--method", choices=METHODS, default="random", help="how they are chosen (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the settings that are drawn (%(default)s)")
    parser.add_argument("--start", type=float, default=0.0, help="second at which the excerpt begins (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the excerpt (%(default)s)")
    parser.add_argument("--sample-rate", type=int, help="in Hz, to which all stems are resampled (their own)")
    parser.add_argument("--longest-slice", type=float, default=1.0, help="in seconds (%(default)s)")
    parser.add_argument("--rows", type=int, default=10, help="of the table (%(default)s)")
    parser.add_argument(
        "--out", type=Path, help="file of JSON lines, written as it goes; a stopped run goes on from it"
    )
    options = parser.parse_args(arguments)
    for name in ("trials", "seconds", "longest_slice", "rows", "sample_rate"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            parser.error(f"--{name.replace('_', '-')}: a finite number above 0 is needed, got {value}")
    if not 0 <= options.start < math.inf:
        parser.error(f"--start: a finite number of at least 0 is needed, got {options.start}")

    # What follows loads torch, which the help above does without.
    from mixgraph.names import visible
    from mixgraph.shipped import song_path

    songs = []
    for folder in options.stems:
        songs.append(read_stems(song_path(folder), options.start, options.seconds, options.sample_rate))
        if songs[-1].note is not None:
            sys.stdout.write(f"{visible(songs[-1].note)}\n")
    paths = [song.folder.resolve() for song in songs]
    twice = next((path for i, path in enumerate(paths) if path in paths[:i]), None)
    if twice is not None:
        raise ValueError(f"stems: folders that differ are needed, got {twice} twice")
    rates = {song.sample_rate for song in songs}
    if len(rates) > 1:
        raise ValueError(
            f"stems: folders of one sample rate are needed, got {_list(sorted(rates))} Hz. HINT: --sample-rate "
            f"{max(rates)} resamples them"
        )
    trials = _Trials(options.out, _header(options, songs))
    for line in _search(options, songs, trials):
        sys.stdout.write(f"{visible(line)}\n")
        sys.stdout.flush()
    for line in table(trials.rows, options.rows):
        sys.stdout.write(f"{line}\n")
    return 0


def read_stems(folder: Path, start: float, seconds: float, sample_rate: int | None = None) -> Stems:
    """Reads the same excerpt of all stems in a folder; those that are silent there are left out, and noted.

    The tracks of a song's folder are placed as the song states, and short ones are followed by silence.

    Args:
        folder: folder of stems, or of a song.
        start: the second at which the excerpt begins.
        seconds: length of the excerpt.
        sample_rate: rate to which the stems are resampled; None keeps theirs, which must then be one.

    Raises:
        ValueError: fewer than two stems with sound, a stem that is silent or not finite, or different rates or lengths.
        FileNotFoundError: no such folder.
    """
    from mixgraph.songs.layouts import candidate_tracks
    from mixgraph.songs.track_files import list_tracks

    files, is_song = list_tracks(folder), candidate_tracks(folder) is not None
    if len(files) < 2:
        raise ValueError(f"{folder}: at least two stems are needed, got {len(files)}")
    same = next((a for i, a in enumerate(files) if any(a.name == b.name for b in files[:i])), None)
    if same is not None:
        raise ValueError(
            f"{folder}: stems of different names are needed, got {same.name} twice. HINT: take away one of the files "
            "that differ in their suffix alone"
        )
    audio, sample_rate = _decode_all(folder, files, sample_rate)
    lengths = {name: samples.shape[-1] for name, samples in audio.items()}
    if len(set(lengths.values())) > 1 and not is_song:
        raise ValueError(
            f"{folder}: stems of one length are needed, got {_each(lengths, 'samples')}. HINT: export them from the "
            "start to the end of the song"
        )
    silent = [name for name, samples in audio.items() if not bool(samples.any())]
    if silent and not is_song:
        raise ValueError(f"{folder}: stems with sound are needed, got silence in {silent[0]}. HINT: take it away")
    first, stop = round(start * sample_rate), min(round((start + seconds) * sample_rate), max(lengths.values()))
    channels = max(samples.shape[0] for samples in audio.values())
    excerpts = {name: _excerpt(samples, first, stop).expand(channels, -1) for name, samples in audio.items()}
    audible = {name: excerpt for name, excerpt in excerpts.items() if bool(excerpt.any())}
    about = f"from {start:g} s to {start + seconds:g} s"
    if len(audible) < 2:
        raise ValueError(
            f"{folder}: at least two stems with sound {about} are needed, got {len(audible)}. HINT: choose another "
            "--start or more --seconds"
        )
    left_out = [name for name in audio if name not in audible]
    note = f"{folder.name}: silent {about}, and left out: {', '.join(left_out)}" if left_out else None
    return Stems(folder, sample_rate, list(audible), list(audible.values()), note)


def _decode_all(folder: Path, files: Sequence[TrackFile], sample_rate: int | None) -> tuple[dict[str, Tensor], int]:
    """Reads stems, (1 or 2, samples) each, at one sample rate, with their stated offsets and polarities."""
    from mixgraph.dsp.resample import resample
    from mixgraph.songs.clips import cut
    from mixgraph.songs.decode import decode

    decoded = {file.name: decode(file.path, sample_rate) for file in files}
    rates = {name: audio.sample_rate for name, audio in decoded.items()}
    if sample_rate is None and len(set(rates.values())) > 1:
        raise ValueError(
            f"{folder}: stems of one sample rate are needed, got {_each(rates, 'Hz')}. HINT: --sample-rate "
            f"{max(rates.values())} resamples them"
        )
    sample_rate = sample_rate or next(iter(rates.values()))
    stems = {}
    for file in files:
        audio = decoded[file.name]
        if not bool(audio.samples.isfinite().all()):
            raise ValueError(f"{folder}: finite samples are needed, got NaN or infinity in stem {file.name}")
        samples = resample(audio.samples, audio.sample_rate, sample_rate)
        offset = file.read_offset(sample_rate, audio.sample_rate)
        stems[file.name] = file.polarity * cut(samples, offset, max(1, samples.shape[-1] - offset))
    return stems, sample_rate


def _excerpt(samples: Tensor, first: int, stop: int) -> Tensor:
    from mixgraph.songs.clips import cut

    return cut(samples, first, max(1, stop - first))


def _search(options: argparse.Namespace, songs: list[Stems], trials: _Trials) -> Iterator[str]:
    """Runs the trials that are missing; yields a line for each."""
    from mixgraph.dsp.slicqt.choosing import ideal_mask_sdr_db, stft_mask_sdr_db

    if not any(row["scale"] == STFT for row in trials.rows):
        ratios = _ratios(songs, stft_mask_sdr_db)
        trials.add({"trial": -1, "scale": STFT, **_figures(ratios)})
        yield f"{STFT}: {trials.rows[-1]['median_sdr_db']:.2f} dB"
    rate, done = songs[0].sample_rate, {row["trial"] for row in trials.rows}
    for trial in range(options.trials):
        if trial in done:
            continue
        started = time.perf_counter()
        settings = _next_settings(options, rate, trial, trials.rows)
        transform = settings.make(rate, options.longest_slice)
        ratios = _ratios(songs, partial(ideal_mask_sdr_db, transform))
        about = {"slice_samples": transform.slice_samples, "redundancy": round(transform.layout.redundancy, 3)}
        took = {"seconds": round(time.perf_counter() - started, 2)}
        trials.add({"trial": trial, **asdict(settings), **about, **_figures(ratios), **took})
        yield (
            f"trial {trial}: {settings.scale}, {settings.num_bands} bands from {settings.low_hz:g} Hz, "
            f"{settings.raster}: "
            f"{trials.rows[-1]['median_sdr_db']:.2f} dB"
        )


def _next_settings(
    options: argparse.Namespace, sample_rate: int, trial: int, rows: list[dict[str, Any]]
) -> TransformSettings:
    from mixgraph.dsp.slicqt.choosing import PUBLISHED, draw_settings, fits

    if trial == 0 and fits(PUBLISHED, sample_rate, options.longest_slice):
        return PUBLISHED
    if options.method == "optuna":
        suggested = _suggest(options, trial, rows, sample_rate)
        if suggested is not None:
            return suggested
    return draw_settings(options.seed, trial, sample_rate, options.longest_slice)


def _suggest(
    options: argparse.Namespace, trial: int, rows: list[dict[str, Any]], sample_rate: int
) -> TransformSettings | None:
    """Returns what Optuna's sampler suggests after the trials so far; None where 100 suggestions fit no slice.

    The sampler is seeded for each trial, so that a resumed run suggests what an uninterrupted one would have.
    """
    try:
        import optuna
    except ImportError:
        raise ValueError(
            "--method optuna: the package optuna is needed, and it is not installed. HINT: pip install mixgraph[tune]"
        ) from None
    from mixgraph.dsp.slicqt.choosing import LOW_HZ, NUM_BANDS, OFFSET_HZ, RASTERS, SCALE_NAMES, TransformSettings, fits

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {
        "scale": optuna.distributions.CategoricalDistribution(SCALE_NAMES),
        "num_bands": optuna.distributions.IntDistribution(*NUM_BANDS, log=True),
        "low_hz": optuna.distributions.FloatDistribution(*LOW_HZ, log=True),
        "offset_hz": optuna.distributions.FloatDistribution(*OFFSET_HZ, log=True),
        "raster": optuna.distributions.CategoricalDistribution(RASTERS),
    }
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=(options.seed + trial) % 2**32)
    )
    for row in (row for row in rows if row["trial"] >= 0):
        names = [name for name in space if name != "offset_hz" or row["scale"] == "variable_q"]
        study.add_trial(
            optuna.trial.create_trial(
                params={name: row[name] for name in names},
                distributions={name: space[name] for name in names},
                value=row["median_sdr_db"],
            )
        )
    for _ in range(100):
        optuna_trial = study.ask()
        scale = optuna_trial.suggest_categorical("scale", SCALE_NAMES)
        num_bands = optuna_trial.suggest_int("num_bands", *NUM_BANDS, log=True)
        low_hz = optuna_trial.suggest_float("low_hz", *LOW_HZ, log=True)
        offset_hz = optuna_trial.suggest_float("offset_hz", *OFFSET_HZ, log=True) if scale == "variable_q" else 0.0
        raster = RASTERS[RASTERS.index(optuna_trial.suggest_categorical("raster", RASTERS))]
        settings = TransformSettings(scale, num_bands, low_hz, offset_hz, raster)
        if fits(settings, sample_rate, options.longest_slice):
            return settings
        study.tell(optuna_trial, state=optuna.trial.TrialState.PRUNED)
    return None


class _Trials:
    """The trials so far, and their file.

    Args:
        path: path of a file of JSON lines; None keeps trials in memory only.
        header: first line of the file, which identifies stems and settings; a file with another header is refused.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path is None:
            return
        if path.exists():
            self._read(path, header)
        else:
            write_atomically(path, (json.dumps(header) + "\n").encode())

    def _read(self, path: Path, header: dict[str, Any]) -> None:
        text = read_text(path)
        whole = text[: text.rfind("\n") + 1]  # a line that was cut short is tried again
        try:
            lines = [parse_json(line) for line in whole.splitlines()]
        except ValueError as error:
            raise ValueError(f"{path}: JSON lines of find-transform are needed, got {error}") from error
        if not lines or not isinstance(lines[0], dict) or lines[0].keys() != header.keys():
            raise ValueError(f"{path}: a file of find-transform is needed. HINT: choose another --out")
        other = [
            f"{name} {lines[0][name]!r}, now {header[name]!r}" for name in header if lines[0][name] != header[name]
        ]
        if other:
            raise ValueError(f"{path}: its trials have {'; '.join(other)}. HINT: choose another --out")
        self.rows = lines[1:]
        strange = next((row for row in self.rows if not _is_trial(row)), None)
        if strange is not None:
            raise ValueError(f"{path}: a line for every trial is needed, got {str(strange)[:80]}. HINT: take it away")
        if whole != text:
            write_atomically(path, whole.encode())

    def add(self, row: dict[str, Any]) -> None:
        """Adds a trial, to the file too."""
        self.rows.append(row)
        if self.path is not None:
            append_text(self.path, json.dumps(row) + "\n")


def _is_trial(row: object) -> bool:
    """Whether a line of the file has what the table and a resumed search read."""
    names = {"trial", "scale", "median_sdr_db"}
    if isinstance(row, dict) and row.get("scale") != STFT:
        names |= {"raster", "num_bands", "low_hz", "offset_hz", "slice_samples", "redundancy"}
    return isinstance(row, dict) and row.keys() >= names


def table(rows: Sequence[dict[str, Any]], num_rows: int) -> list[str]:
    """The best trials, with the STFT at its place among all, as lines of text."""
    ranked = sorted(rows, key=lambda row: -row["median_sdr_db"])
    names = f"{'rank':>4}  {'scale':<18}{'raster':<14}{'bands':>6}{'low Hz':>8}{'offset':>8}"
    lines = [f"{names}{'slice':>8}{'redund.':>9}{'SDR dB':>8}"]
    for rank, row in enumerate(ranked, 1):
        if rank > num_rows and row["scale"] != STFT:
            continue
        numbers = (
            f"{row['raster']:<14}{row['num_bands']:>6}{row['low_hz']:>8.1f}{row['offset_hz']:>8.1f}{row['slice_samples']:>8}"
            f"{row['redundancy']:>9.2f}"
            if row["scale"] != STFT
            else " " * 53
        )
        lines.append(f"{rank:>4}  {row['scale']:<18}{numbers}{row['median_sdr_db']:>8.2f}")
    return lines


def _header(options: argparse.Namespace, songs: list[Stems]) -> dict[str, Any]:
    names = ("method", "seed", "start", "seconds", "longest_slice")
    stems = {
        str(song.folder.resolve()): dict(zip(song.names, map(_fingerprint, song.audio), strict=True)) for song in songs
    }
    return {**{name: getattr(options, name) for name in names}, "sample_rate": songs[0].sample_rate, "stems": stems}


def _fingerprint(audio: Tensor) -> str:
    """What tells the excerpt of a stem from that of another file of its name."""
    return hashlib.sha256(audio.contiguous().numpy().tobytes()).hexdigest()[:16]


def _figures(ratios: dict[str, float]) -> dict[str, Any]:
    rounded = {name: round(sdr, 4) for name, sdr in ratios.items()}
    return {"median_sdr_db": round(statistics.median(ratios.values()), 4), "sdr_db": rounded}


def _ratios(songs: Sequence[Stems], separate: Callable[[Sequence[Tensor]], list[float]]) -> dict[str, float]:
    """Returns the ratio of every stem, named by its folder; by the folder's path where two folders have one name."""
    folders = [song.folder.resolve() for song in songs]
    times = Counter(folder.name for folder in folders)
    labels = [folder.name if times[folder.name] == 1 else str(folder) for folder in folders]
    return {
        f"{label}/{name}": sdr
        for label, song in zip(labels, songs, strict=True)
        for name, sdr in zip(song.names, separate(song.audio), strict=True)
    }


def _each(values: dict[str, int], unit: str) -> str:
    return ", ".join(f"{value} {unit} in {name}" for name, value in values.items())


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
