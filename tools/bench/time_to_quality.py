"""Tells how soon searches are as good as the peer at its end, and as our own full schedule at its end.

    python -m tools.fidelity SONGS --config ours= --config estimated=--model.initial_values=estimated --seeds 0 1 2 \\
        --measure-at 25 75 125 175 225 275 --threads 1 --keep --out FULL
    python -m tools.bench.time_to_quality */searches.jsonl --out docs/results/time_to_quality.json

Reads the searches that `tools.fidelity` kept, of one or several lengths. A search is as good as another one at its end
from the first measured point on at which both the loss and the number of processors are; points are the ends of stages
and the steps of `--measure-at`. The peer's loss over the norm of the prediction, by which it trains, and its number of
processors are taken from searches by its rules where there are any (`--reference`), else from the medians in
`--peer`; and our own full schedule is the search with default settings and the most steps, of the same song and seed:
within `--loss` of its loss over the norm of the target, with at most `--processors` more processors.

The table names the machine and the versions of this command's own run: make it where the searches were made. Seconds
are those of the processor, without measuring and reading, since other jobs of a machine hardly change them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import measured

COMMAND = "python -m tools.fidelity SONGS --config NAME=SETTINGS --measure-at 25 75 125 175 225 275 --threads 1"
PEER = "peer"
DEFAULTS = "defaults"
PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "against_the_published_rules.json"


@dataclass(frozen=True)
class KeptSearch:
    """A search as `tools.fidelity` kept it.

    Attributes:
        song: the name of its folder.
        rules: its settings in words, `DEFAULTS` or `PEER`.
        steps: the steps of its schedule in words.
        seed: its seed.
        answer: what `run_search` returned.
    """

    song: str
    rules: str
    steps: str
    seed: int
    answer: dict[str, Any]

    @property
    def points(self) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = self.answer["curve"]
        return points

    @property
    def end(self) -> dict[str, Any]:
        return self.points[-1]


@dataclass(frozen=True)
class Quality:
    """What has to be reached: a loss of a kind, and a number of processors."""

    key: str
    loss: float
    processors: float

    def first(self, points: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
        """The first point that is as good; None where none is.

        >>> points = [{"step": 1, "x": 0.5, "processors": 9}, {"step": 2, "x": 0.6, "processors": 3}]
        >>> Quality("x", 0.6, 4).first(points)["step"], Quality("x", 0.5, 4).first(points)
        (2, None)
        """
        return next((p for p in points if p[self.key] <= self.loss and p["processors"] <= self.processors), None)


def read_searches(paths: Sequence[Path]) -> list[KeptSearch]:
    """Reads the searches of files; of two with the same key the later one counts.

    Raises:
        ValueError: two searches that a table would not tell apart differ in something else, such as the estimator.
    """
    searches: dict[tuple[str, str, str, int], KeptSearch] = {}
    keys: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            key, answer = record["key"], record["answer"]
            search = KeptSearch(key["song"], in_words(key["rules"]), key["steps"], key["seed"], answer)
            place = search.song, search.rules, search.steps, search.seed
            other = keys.setdefault(place, key)
            if differing := sorted(name for name in {*key, *other} if key.get(name) != other.get(name)):
                what = f"{search.song}, {search.rules}, {search.steps}, seed {search.seed}"
                raise ValueError(
                    f"{path}: two searches of {what} differ in {', '.join(differing)}. HINT: a table of each"
                )
            searches[place] = search
    return list(searches.values())


def in_words(rules: str | Sequence[str]) -> str:
    """The settings of rules in words.

    >>> in_words(["--model.initial_values=estimated", "--pruning.ending=0.01"])
    'model.initial_values=estimated, pruning.ending=0.01'
    """
    if rules == PEER:
        return PEER
    words = (rule.removeprefix("--") if rule.startswith("--") else "a file" for rule in rules)
    return ", ".join(words) or DEFAULTS


def published_ends(path: Path) -> dict[str, Quality]:
    """The peer's loss over the norm of the prediction and its processors at its end, by song, from a table."""
    table = json.loads(path.read_text(encoding="utf-8"))
    ends = {}
    for song, _, peer, processors, *_ in table["rows"]:
        loss = re.fullmatch(r"[\d.]+ / ([\d.]+) at [\d.]+", peer)
        count = re.fullmatch(r"[\d.]+ / ([\d.]+)", processors)
        if loss is None or count is None:
            raise ValueError(f"{path}: losses and processors as 'OURS / PEER' are needed of {song}, got {peer!r}")
        ends[song] = Quality("loss_prediction", float(loss[1]), float(count[1]))
    return ends


def peer_ends(searches: Sequence[KeptSearch], published: dict[str, Quality]) -> dict[str, Quality]:
    """The peer's ends by song: medians of its searches where there are any, else the published ones."""
    ends = {_title(song): quality for song, quality in published.items()}
    for song in {search.song for search in searches if search.rules == PEER}:
        last = [search.end for search in searches if search.rules == PEER and search.song == song]
        loss, count = (median(point[key] for point in last) for key in ("loss_prediction", "processors"))
        ends[_title(song)] = Quality("loss_prediction", loss, count)
    return ends


def _title(song: str) -> str:
    """The name of a song without what its folder adds; tables call `demo_potassium` Potassium."""
    return song.removeprefix("demo_").lower()


def own_ends(searches: Sequence[KeptSearch], loss: float, processors: int) -> dict[tuple[str, int], Quality]:
    """What our own full schedule reaches, by song and seed: that of the defaults with the most steps."""
    ends: dict[tuple[str, int], Quality] = {}
    longest: dict[tuple[str, int], int] = {}
    for search in (search for search in searches if search.rules == DEFAULTS):
        place, steps, end = (search.song, search.seed), search.end["step"], search.end
        if steps > longest.get(place, 0):
            longest[place] = steps
            ends[place] = Quality("loss_target", end["loss_target"] + loss, end["processors"] + processors)
    return ends


COLUMNS = [
    "song",
    "rules",
    "schedule",
    "seeds",
    "steps",
    "loss over the norm of the target",
    "processors",
    "F1",
    "processor seconds",
    "steps to the peer's end",
    "processor seconds to it",
    "steps to our own end",
    "processor seconds to that",
]


def rows(searches: Sequence[KeptSearch], peers: dict[str, Quality], own: dict[tuple[str, int], Quality]) -> list[Any]:
    """A row for each song, rules and schedule: medians over seeds; a seed that never gets there is later than any."""
    groups: dict[tuple[str, str, str], list[KeptSearch]] = {}
    for search in searches:
        groups.setdefault((search.song, search.rules, search.steps), []).append(search)
    table = []
    for (song, rules, steps), of_seeds in sorted(groups.items(), key=lambda item: (item[0][0], -_sum(item[0][2]))):
        to_peer = _firsts(of_seeds, [peers.get(_title(song)) for _ in of_seeds])
        to_own = _firsts(of_seeds, [own.get((song, search.seed)) for search in of_seeds])
        ends, f1 = [search.end for search in of_seeds], [_f1(search) for search in of_seeds]
        table.append(
            [
                song,
                rules,
                steps,
                " ".join(str(search.seed) for search in of_seeds),
                _cell(ends, "step"),
                _cell(ends, "loss_target", 3),
                _cell(ends, "processors"),
                "" if None in f1 else f"{median(f1):.2f}",  # type: ignore[type-var]
                _cell(ends, "processor_seconds"),
                *(_cell(points, key) for points in (to_peer, to_own) for key in ("step", "processor_seconds")),
            ]
        )
    return table


def _sum(schedule: str) -> int:
    console, rounds, after = map(int, re.findall(r"\d+", schedule))
    return console + rounds * after


def _firsts(searches: Sequence[KeptSearch], qualities: Sequence[Quality | None]) -> list[dict[str, Any] | None]:
    """The first points that are as good; none where it is not known for all what has to be reached."""
    pairs = zip(searches, qualities, strict=True)
    reached = [quality.first(search.points) for search, quality in pairs if quality is not None]
    return reached if len(reached) == len(searches) else []


def _f1(search: KeptSearch) -> float | None:
    truth = search.answer["truth"]
    return None if truth is None else truth["all"]["f1"]


def _cell(points: Sequence[dict[str, Any] | None], key: str, digits: int = 0) -> str:
    """The median of a figure over seeds, `never` where half of them or more never get there; empty for no points."""
    if not points or any(point is not None and key not in point for point in points):
        return ""  # measured before this was
    never = float("inf")
    middle = median(never if point is None else point[key] for point in points)
    return "never" if middle == never else f"{middle:.{digits}f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("searches", type=Path, nargs="+", help="searches.jsonl of tools.fidelity")
    parser.add_argument("--peer", type=Path, default=PUBLISHED, help="table of the peer's ends (docs/results/...)")
    parser.add_argument("--loss", type=float, default=0.01, help="above our own end that is as good (0.01)")
    parser.add_argument("--processors", type=int, default=1, help="beyond those of our own end that are as good (1)")
    parser.add_argument("--command", default=COMMAND, help="by which the searches were made, for the table")
    parser.add_argument("--commit", default="", help="of the code that was measured")
    parser.add_argument("--note", default="", help="further words below the table")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the table")
    options = parser.parse_args(arguments)
    searches = read_searches(options.searches)
    peers, own = peer_ends(searches, published_ends(options.peer)), own_ends(searches, options.loss, options.processors)
    run = measured(options.command, 1) | ({"commit": options.commit} if options.commit else {})
    ends = ", ".join(
        f"{song} {quality.loss:.3f} with {quality.processors:.0f}"
        for song, quality in peers.items()
        if song in {_title(search.song) for search in searches}
    )
    note = (
        "Medians over the seeds. A loss and a number of processors are reached at the same measured point. The "
        f"peer's ends, over the norm of the prediction: {ends}. Our own end: that of the defaults by the longest "
        f"schedule, of the same seed, within {options.loss:g} of its loss and {options.processors} of its processors."
    )
    table = {
        "title": "Time to quality",
        "measured": [run],
        "columns": COLUMNS,
        "rows": rows(searches, peers, own),
        "note": f"{note} {options.note}".strip(),
    }
    write_atomically(options.out, json_text(table, 1).encode())
    for row in (COLUMNS, *table["rows"]):
        sys.stdout.write(" | ".join(map(str, row)) + "\n")


if __name__ == "__main__":
    main()
