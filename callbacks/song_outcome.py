"""Makes the outcome of a song, which is measured and written, from a trained module."""

from __future__ import annotations

from mixgraph.graph import GraphValues
from mixgraph.results.outcome import SearchRun, SongOutcome
from mixgraph.search.module import ConsoleModule
from mixgraph.songs import Song


def song_outcome(module: ConsoleModule, song: Song, search: SearchRun | None = None) -> SongOutcome:
    """Takes a song's part of a module as it is now.

    Args:
        module: a module with a graph.
        song: one of the module's songs.
        search: the course of the training; None where the module was not trained.
    """
    part = module.part(song)
    parameters = {
        node_type: {name: value.detach() for name, value in values.items()}
        for node_type, values in part.parameters.items()
    }
    return SongOutcome(
        song=song,
        values=GraphValues(part.graph, parameters, part.weights.detach()),
        processors=module.processors,
        processor_options=module.processor_options,
        console=module.consoles[module.song_number(song)],
        target=module.target(song),
        denominator=module.loss_settings.denominator,
        block=module.rendering.block,
        mono=song.mono_rows if module.rendering.shortcuts else (),
        search=search,
    )
