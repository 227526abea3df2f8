"""`python -m mixgraph evaluate-automix SONG=RESULT... --out DIR`: judges proposed mixes beside baselines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixgraph.cli.command_parser import CommandParser

if TYPE_CHECKING:
    from mixgraph.style.evaluation import JudgedSong
    from mixgraph.style.judging import MixedSong

_DESCRIPTION = (
    "Judges mixes of songs beside baselines that know nothing of the song's own mix, and beside the engineer's graph: "
    "that which a search found of the engineer's mix. Baselines learn from the other songs of the command alone. All "
    "mixes of a song have one loudness. Writes evaluation.md, evaluation.csv, evaluation.json and evaluation.png."
)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    files = [options.out / f"evaluation{suffix}" for suffix in (".md", ".csv", ".json", ".png")]
    _check(options, files)

    # What follows loads torch, which the help above does without.
    from mixgraph.names import visible
    from mixgraph.style.evaluation import (
        Row,
        evaluate,
        mixes_by_song,
        picture,
        report,
        rows_csv,
        tables,
    )
    from mixgraph.style.listening_test import ListeningPage, check_listening_test, write_listening_test
    from mixgraph.system.files import write_atomically

    songs = read_songs(options)
    answers = _answers(options, songs)
    if options.listening_test is not None:
        check_listening_test(options.listening_test, mixes_by_song(songs, answers), options.excerpt_seconds)
    for judged in songs:
        if not any(s.engineer is not None and s.kind == judged.kind for s in songs if s is not judged):
            left_out = "baselines that learn from other songs are left out, since no other song has a result"
            sys.stdout.write(f"{visible(judged.song.name)}: {left_out}.\n")
    rows: list[Row] = []
    pages: dict[str, ListeningPage] = {}
    for row, mixed, judge in evaluate(songs, answers, options.seed):
        rows.append(row)
        sys.stdout.write(f"{visible(row.song)}: {visible(row.method)} is judged.\n")
        sys.stdout.flush()
        if options.listening_test is not None and judge.heard:
            song = judge.song
            page = pages.setdefault(row.song, ListeningPage(row.song, song.sample_rate, song.mix, {}))
            pages[row.song] = ListeningPage(
                page.name, page.sample_rate, page.reference, {**page.mixes, row.method: judge.levelled(mixed.mix())}
            )
    text = tables(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    contents = (
        text.encode(),
        rows_csv(rows).encode(),
        (json.dumps(report(rows), indent=1) + "\n").encode(),
        picture(rows),
    )
    for file, content in zip(files, contents, strict=True):
        write_atomically(file, content)
    sys.stdout.write(f"\n{text}\n")
    if options.listening_test is not None:
        count = write_listening_test(options.listening_test, list(pages.values()), options.excerpt_seconds)
        sys.stdout.write(f"A listening test of {count} files: {options.listening_test}. Its README.txt says how.\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=_DESCRIPTION)
    parser.add_argument(
        "songs",
        nargs="*",
        metavar="SONG=RESULT",
        help="folder of a song, and the result folder of its search; SONG alone where there is none",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--answers",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="mixes to judge: a folder with a result folder (of automix, transfer, fit, estimate) for each song's name",
    )
    parser.add_argument("--synthetic", type=int, default=0, help="number of synthetic songs to judge on, too (0)")
    parser.add_argument("--seconds", type=float, help="judge the middle of each song; all of it by default")
    parser.add_argument("--sample-rate", type=int, default=30000, help="in Hz (30000)")
    parser.add_argument("--seed", type=int, default=0, help="of random graphs, and of synthetic songs (0)")
    parser.add_argument("--listening-test", type=Path, metavar="DIR", help="writes a test for webMUSHRA")
    parser.add_argument("--excerpt-seconds", type=float, default=10.0, help="of the listening test (10)")
    parser.add_argument("--cache", type=Path, default=Path(".mixgraph_cache"), help="folder for decoded songs")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier evaluation")
    return parser


def _check(options: argparse.Namespace, files: Sequence[Path]) -> None:
    """Checks the options before anything is loaded.

    Raises:
        ValueError, FileExistsError: an option is out of range, or a file is there.
    """
    if not options.songs and options.synthetic < 1:
        raise ValueError("songs: at least one song is needed. HINT: SONG=RESULT, or --synthetic 4")
    if options.seconds is not None and not options.seconds >= 1:
        raise ValueError(f"seconds: at least 1 s, got {options.seconds:g}")
    if options.listening_test is not None and not 1 <= options.excerpt_seconds <= 12:
        raise ValueError(f"excerpt_seconds: 1 to 12 s, got {options.excerpt_seconds:g}")
    if options.listening_test is not None and options.listening_test.is_dir() and any(options.listening_test.iterdir()):
        raise FileExistsError(f"listening_test: {options.listening_test} holds files that are kept; choose another")
    if (there := [file for file in files if file.exists()]) and not options.overwrite:
        raise FileExistsError(f"out: {there[0]} exists and is kept; choose another folder or give --overwrite")


def _answers(options: argparse.Namespace, songs: Sequence[JudgedSong]) -> dict[str, dict[str, MixedSong]]:
    """Reads the mixes to judge, by the name of their method and by song; says which songs a method lacks."""
    from mixgraph.names import visible
    from mixgraph.style.evaluation import mixed_by_result

    answers: dict[str, dict[str, MixedSong]] = {}
    for name, folder in (_pair(text, "answers") for text in options.answers):
        if folder is None:
            raise ValueError(f"answers: NAME=FOLDER is needed, got {name}")
        found = {judged.song.name: folder / judged.song.name for judged in songs}
        answers[name] = {
            judged.song.name: mixed_by_result(judged.song, found[judged.song.name])
            for judged in songs
            if found[judged.song.name].is_dir()
        }
        if not answers[name]:
            raise FileNotFoundError(f"answers: {folder} has none of the folders {', '.join(found)}")
        if lacking := [visible(song) for song in found if song not in answers[name]]:
            sys.stdout.write(f"{visible(name)}: is not judged on {', '.join(lacking)}: {folder} has no such folder.\n")
    return answers


def read_songs(options: argparse.Namespace) -> list[JudgedSong]:
    """Reads the songs that the options name, and makes synthetic ones."""
    from mixgraph.graph.values import GraphValues
    from mixgraph.page.material import PROPOSED
    from mixgraph.shipped import song_path
    from mixgraph.songs import load_song
    from mixgraph.style.evaluation import REAL, SYNTHETIC, JudgedSong, excerpt, mixed_by_result
    from mixgraph.style.judging import MixedSong
    from mixgraph.synthetic.song import make_synthetic_song

    songs = []
    for folder, result in (_pair(text, "songs") for text in options.songs):
        path = song_path(folder)
        if result is not None and (result / PROPOSED).is_file():
            raise ValueError(
                f"songs: {result}: the result of a search for the engineer's mix is needed, got a proposed mix. "
                "HINT: proposed mixes are judged by --answers"
            )
        song = excerpt(load_song(path, sample_rate=options.sample_rate, cache_dir=options.cache), options.seconds)
        songs.append(JudgedSong(song, REAL, None if result is None else mixed_by_result(song, result)))
    for number in range(options.synthetic):
        seed = _SYNTHETIC_SEED + options.seed * 1000 + number
        made = make_synthetic_song(seed, 4 + number % 5, seconds=_SYNTHETIC_SECONDS, sample_rate=options.sample_rate)
        song = excerpt(made.song, options.seconds)
        values = GraphValues(made.graph, made.parameters, made.weights)
        songs.append(JudgedSong(song, SYNTHETIC, MixedSong(song, values, made.processors)))
    names = [judged.song.name for judged in songs]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"songs: songs of different names are needed, got {repeated[0]} twice")
    return songs


_SYNTHETIC_SEED, _SYNTHETIC_SECONDS = 1000, 12.0


def _pair(text: str, option: str) -> tuple[str, Path | None]:
    """Splits `A=B` at the last `=`; B is None where there is none."""
    first, sign, second = text.rpartition("=")
    if not sign:
        return text, None
    if not first or not second:
        raise ValueError(f"{option}: two names are needed beside the =, got {text!r}")
    return first, Path(second)
