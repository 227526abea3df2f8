"""Searches of synthetic songs with known graphs, and of each found processor what tells whether it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import yaml

from callbacks import IterativePruning
from datamodules import SongData
from mixgraph.recovery.equivalence import PlacedProcessor, placed_processors, tracks_of_groups
from mixgraph.search.module import ConsoleModule
from mixgraph.search.run import search
from mixgraph.songs import write_audio
from mixgraph.synthetic import GeneratedSample, GenerationSettings, MixingSettings, Plan, generate
from mixgraph.system.files import write_atomically
from tools.bench.kept_searches import Searches
from tools.bench.recipe import Recipe


@dataclass(frozen=True)
class CalibrationSongs:
    """The synthetic songs: tracks of instruments from formulas, mixed by our processors or by other effects.

    Attributes:
        seed: seeds all random choices.
        seconds: length of a song.
        sample_rate: in Hz; searches of a low one take less time.
        min_tracks, max_tracks: the range of the number of tracks.
        effects_share: share of the songs that other effects mix (`mixgraph.effects`), as other software would.
        instrument_songs: songs of instruments that the tracks are taken from.
    """

    seed: int = 27
    seconds: float = 4.0
    sample_rate: int = 8000
    min_tracks: int = 2
    max_tracks: int = 4
    effects_share: float = 0.75
    instrument_songs: int = 6

    def generate(self, split: str, count: int, cache_dir: Path) -> Iterator[GeneratedSample]:
        """Makes the songs of a split, `train` to fit and `test` to judge: they share no track."""
        settings = GenerationSettings(
            seed=self.seed,
            seconds=self.seconds,
            min_tracks=self.min_tracks,
            max_tracks=self.max_tracks,
            sample_rate=self.sample_rate,
            varispeed=False,
            mixing=MixingSettings(self.effects_share, one_song_share=0.5, random_subgroups=0.5),
        )
        plan = Plan((), settings, cache_dir=cache_dir, num_instrument_songs=self.instrument_songs)
        return generate(plan, {split: count})


def searched(
    songs: CalibrationSongs,
    split: str,
    index: int,
    sample: GeneratedSample,
    recipe: Recipe,
    seed: int,
    scratch: Path,
    kept: Searches,
) -> dict[str, Any]:
    """Searches a song, or returns the kept answer of an earlier run.

    Returns:
        `loss`, the match loss of the found graph; `tolerance` of the pruning; `processors`, those that were found, and
        `true`, those that made the mix, each with its `place`, `type`, `worth` (loss increase) and, where it was found,
        its dry/wet `weight`; `groups`, the tracks of each subgroup.
    """
    key = {"songs": asdict(songs), "split": split, "index": index, "steps": str(recipe), "seed": seed}
    earlier = kept.get(key)
    if earlier is not None:
        return earlier.answer
    folder = written(sample, songs.sample_rate, scratch)
    data = SongData(str(folder), sample_rate=songs.sample_rate, steps_per_stage=recipe.round_steps, seed=seed)
    pruning = IterativePruning(recipe.console_steps // recipe.round_steps, recipe.rounds, seed=seed)
    L.seed_everything(seed, verbose=False)
    module = ConsoleModule(sample_rate=songs.sample_rate)
    search(module, data, [pruning], pruning.num_stages, "cpu", enable_progress_bar=False)
    graph, (record,) = module.graph, pruning.songs
    weights = dict(zip(graph.processors, module.weights.detach().tolist(), strict=True))
    found = placed_processors(graph, record.loss_increases)
    nodes = [node for node in graph.topological_order if node in weights]
    true = sample.values.graph
    worths = None if sample.loss_increases is None else sample.loss_increases.tolist()
    answer = {
        "loss": module.score(data.songs[0]).loss["full"],
        "tolerance": pruning.tolerance,
        "processors": [_placed(one) | {"weight": weights[node]} for one, node in zip(found, nodes, strict=True)],
        "true": [_placed(one) for one in placed_processors(true, worths)],
        "groups": {group: list(tracks) for group, tracks in tracks_of_groups(true).items()},
        "by_effects": "effects" in sample.meta,
    }
    return kept.add(key, answer).answer


def written(sample: GeneratedSample, sample_rate: int, scratch: Path) -> Path:
    """Writes a song's folder: its tracks, its mix and its subgroups."""
    folder, graph = scratch / sample.key, sample.values.graph
    write_audio(folder / "mix.wav", sample.mix, sample_rate)
    names = [graph.names[node] for node in graph.inputs]
    for name, track in zip(names, sample.sources, strict=True):
        write_audio(folder / "tracks" / f"{name}.wav", track, sample_rate)
    groups = {group: [f"{name}.wav" for name in tracks] for group, tracks in tracks_of_groups(graph).items()}
    write_atomically(folder / "song.yaml", yaml.safe_dump({"subgroups": groups}, sort_keys=False).encode())
    return folder


def _placed(processor: PlacedProcessor) -> dict[str, Any]:
    level, name, branch = processor.place
    return {"place": [level, name, list(branch)], "type": processor.type, "worth": processor.worth}
