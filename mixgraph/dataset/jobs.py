"""One search of a dataset: a song, a seed and the settings; decides whether a saved result is still up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixgraph.dataset.settings import differences, digest, recorded
from mixgraph.dataset.sources import SongSource

RECORD_VERSION = 1
_SHOWN = 3  # the number of differences that a reason lists


@dataclass(frozen=True)
class Job:
    """A search of one song.

    Args:
        song: the song to search.
        run: number of the search among those of the song, from 0.
        config: all settings, as `python -m mixgraph fit --print_config` gives them.
    """

    song: SongSource
    run: int
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.song.name}/run_{self.run}"

    @property
    def seed(self) -> int:
        """The configured seed plus the number of the run, so that run 0 finds the same graph as `fit`."""
        base = self.config.get("seed_everything")
        return (42 if base is None or isinstance(base, bool) else int(base)) + self.run

    @property
    def work(self) -> float:
        """The estimated cost of the search, in seconds of audio of one track that are rendered.

        Every step renders and differentiates a clip of every track (three times a rendering). The trials of a round
        are taken to render a song five times over, and so are the measurements of loss increases before and after all
        rounds. Measured on real songs, three searches did 12,000, 11,800 and 16,400 of these seconds a minute.
        """
        data, pruning = self.config["data"], self.config["pruning"]
        steps = data["steps_per_stage"] * (pruning["console_stages"] + pruning["rounds"])
        clip = data["warm_up_seconds"] + data["scored_seconds"]
        rendered: float = 3 * steps * clip + 5 * (pruning["rounds"] + 2) * self.song.seconds
        return self.song.num_tracks * rendered

    def record(self) -> dict[str, Any]:
        """Returns all that the result depends on, as `job.json` stores it: without paths, dates and hosts."""
        settings = recorded(self.config)
        return {
            "version": RECORD_VERSION,
            "song": self.song.name,
            "run": self.run,
            "seed": self.seed,
            "settings_sha256": digest(settings),
            "settings": settings,
            "files": self.song.file_hashes,
            "arrangement": self.song.arrangement,
        }


def why_redo(saved: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Says in a line why a result with one record is out of date for another record; "" if it is not."""
    if saved == current:
        return ""
    reasons = []
    if saved.get("version") != current["version"]:
        reasons.append(f"record of version {saved.get('version')}, {current['version']} needed")
    if saved.get("seed") != current["seed"]:
        reasons.append(f"seed changed: {saved.get('seed')} -> {current['seed']}")
    changed = differences(saved.get("settings", {}), current["settings"])
    if changed:
        reasons.append("settings changed: " + _some(changed))
    before, after = saved.get("files", {}), current["files"]
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        reasons.append("audio changed: " + _some(changed))
    if saved.get("arrangement") != current["arrangement"]:
        reasons.append("the song's description changed: subgroups, names, offsets or polarities")
    return "; ".join(reasons) or "record changed"


def _some(parts: list[str]) -> str:
    more = len(parts) - _SHOWN
    return ", ".join(parts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
