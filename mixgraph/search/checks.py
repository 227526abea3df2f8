"""Refuses settings, Trainers and songs that a search cannot work with, before it starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy

from mixgraph.graph import MixGraph, build_console
from mixgraph.names import did_you_mean, shown_name
from mixgraph.processors import Processors
from mixgraph.songs.song import Song


def check_trainer(trainer: Trainer) -> None:
    """Refuses a Trainer that a search cannot run with.

    Raises:
        ValueError: it has several devices, or another precision than float32.
    """
    if trainer.world_size > 1 or not isinstance(trainer.strategy, SingleDeviceStrategy):
        raise ValueError(
            f"a search runs on a single device, got {trainer.world_size} with {type(trainer.strategy).__name__}; set "
            "trainer.devices=1 and search several songs side by side"
        )
    if trainer.precision != "32-true":
        raise ValueError(
            f"trainer.precision: a search computes in 32-true, got {trainer.precision}. HINT: leave it out"
        )


def check_captured_trainer(trainer: Trainer) -> None:
    """Refuses what a Trainer would do to gradients between two steps that are captured.

    Raises:
        ValueError: it clips gradients, or accumulates them.
    """
    asked = {
        "gradient_clip_val": trainer.gradient_clip_val or None,
        "accumulate_grad_batches": None if trainer.accumulate_grad_batches == 1 else trainer.accumulate_grad_batches,
    }
    if changes := [f"trainer.{name}={value}" for name, value in asked.items() if value is not None]:
        raise ValueError(
            f"model.rendering.capture: a captured step takes its gradients as they are, got {', '.join(changes)}. "
            "HINT: leave that out, or set model.rendering.capture=false"
        )


def check_data(data: object, *, trains: bool) -> None:
    """Refuses a datamodule that a search cannot run with; it may be of any class.

    Args:
        data: a datamodule, which may be of a class of the user's.
        trains: whether a search trains on the data; where songs are only measured or rendered, `songs` suffice.

    Raises:
        ValueError: it lacks what a search takes its songs, clips or the length of a stage from.
    """
    needed = ("songs", "clips", "steps_per_stage") if trains else ("songs",)
    # Looked up in the class and not in the object, since to get `songs` is to read them.
    missing = [name for name in needed if not hasattr(type(data), name) and name not in vars(data)]
    if missing:
        raise ValueError(
            f"data: {type(data).__name__} lacks {', '.join(missing)}, which a search needs. HINT: derive it from "
            "mixgraph.SongData, or give it what SongData has of these names"
        )


def check_chains(
    track_chain: str,
    subgroup_chain: str,
    master_chain: str,
    returns: Mapping[str, str] | None,
    sidechains: Mapping[str, str] | None,
) -> None:
    """Refuses impossible chains of a console before any song is read, by building a console on placeholder names.

    Raises:
        ValueError: an unknown letter, or what `build_console` refuses.
    """
    pairs = [(shown_name(listener), shown_name(key)) for listener, key in (sidechains or {}).items()]
    names = dict.fromkeys(name for pair in pairs for name in pair) or [""]
    build_console({name: [name] for name in names}, track_chain, subgroup_chain, "", master_chain, {}, sidechains)
    build_console({"": [""]}, "", "", returns=returns)


def check_estimated_checkpoint(initial_values: str, path: str | None) -> None:
    """Refuses an estimator that nothing would use.

    Raises:
        ValueError: `initial_values` does not take estimates.
    """
    if path is not None and initial_values != "estimated":
        raise ValueError(
            f"estimated_checkpoint: acts with initial_values=estimated alone, got {path} with {initial_values}. HINT: "
            "set model.initial_values=estimated, or leave it out"
        )


def check_estimator_file(path: str | None) -> None:
    """Refuses an estimator that is not there; a search that goes on needs it no more.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if path is not None and not Path(path).is_file():
        raise FileNotFoundError(
            f"estimated_checkpoint: the file of an estimator is needed, got {path}, which is not there. HINT: where "
            "none is named, mixgraph's own is taken"
        )


def staged_types(processors: Processors, chosen: Sequence[str] | None) -> set[str]:
    """The processor types that take part in gain staging: the chosen ones, or all that can.

    Raises:
        ValueError: one of the chosen types cannot take part.
    """
    able = {name for name, processor in processors.items() if processor.gain_staged}
    if chosen is None:
        return able
    if unknown := set(chosen) - able:
        raise ValueError(f"gain_staging_types: some of {sorted(able)}, got {sorted(unknown)}")
    return set(chosen)


def check_rate_factors(processors: Processors, names: Collection[str]) -> None:
    """Refuses factors of learning rates for parameter groups that do not exist.

    Raises:
        ValueError: a name is neither `dry_wet`, nor a processor's, nor that of one of its parameters.
    """
    known_names = {"dry_wet", *processors}
    known_names |= {f"{kind}.{name}" for kind in processors for name in processors[kind].specification}
    if unknown := set(names) - known_names:
        raise ValueError(
            f"rate_factors: some of dry_wet, {', '.join(processors)}, or their parameters (delay.delay_z), got "
            f"{sorted(unknown)}.{did_you_mean(min(unknown), known_names)}"
        )


def check_songs_of_graph(graph: MixGraph, songs: Sequence[Song]) -> None:
    """Refuses songs and tracks that are not those of a graph, in their order.

    A graph of one song serves any song with its tracks, see `TrainedGraph.song_number`.

    Raises:
        ValueError: songs or tracks differ; the message names those that are needed.
    """
    needed_songs, given_songs = [graph.names[i] for i in graph.outputs], [song.name for song in songs]
    if needed_songs != given_songs and (len(needed_songs) > 1 or len(given_songs) > 1):
        raise ValueError(
            f"data.path: the graph is of {', '.join(needed_songs)} (in this order), got {', '.join(given_songs)}"
        )
    needed_tracks = [shown_name(graph.names[i]) for i in graph.inputs]
    given_tracks = [name for song in songs for name in song.tracks]
    if needed_tracks != given_tracks:
        raise ValueError(
            f"data.path: the graph is of the tracks {', '.join(needed_tracks)} (in this order, by subgroup), got "
            f"{', '.join(given_tracks)}. HINT: a found graph and a checkpoint go with the song that they were found on"
        )


def check_lengths(songs: Sequence[Song], least: int, sample_rate: int) -> None:
    """Refuses songs that the match loss cannot compare.

    Args:
        songs: the songs to search.
        least: samples of the shortest mix that can be compared.
        sample_rate: sample rate of the songs, in Hz.

    Raises:
        ValueError: songs are too short; the message names them.
    """
    short = [f"{song.name} ({song.num_samples})" for song in songs if song.num_samples < least]
    if short:
        raise ValueError(
            f"data.path: the match loss needs a mix of {least} samples or more ({least / sample_rate:.3f} s), got "
            f"{', '.join(short)}"
        )
