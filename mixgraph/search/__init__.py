"""One search: a graph's trainable values, its LightningModule, and the Trainer that runs it.

- `settings`: dataclasses of everything that can be set.
- `trained_graph`: parameters and dry/wet weights of a graph that shrinks.
- `initial_levels`: gains and equalizers to start from, by least squares on the mix.
- `initial_estimate`: the console set to what the estimator says of a song.
- `optimizer`: a learning rate for each group of parameters, moments that outlive a pruned parameter.
- `module`: `ConsoleModule`, the losses of a step and what pruning asks of it.
- `whole_songs`: the part of it that renders and scores whole songs.
- `checks`: what a search refuses before it starts.
- `plans`: render plans of training clips, kept as long as the graph stays the same.
- `statistics`: figures of a graph that is being pruned, as they are logged.
- `checkpoint`: what a search keeps in Lightning's checkpoints beside them.
- `finite`, `finite_training`: the first number that is not finite stops a training, with the node named.
- `rules`: the one list of what becomes of each setting when a search goes on, and when searches are compared.
- `resuming`: what a checkpoint keeps, and going on from it.
- `run`: `search`, from Python what `python -m mixgraph fit` does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixgraph.search.module import ConsoleModule
    from mixgraph.search.run import search

__all__ = ["ConsoleModule", "search"]

_WHERE = {"ConsoleModule": "mixgraph.search.module", "search": "mixgraph.search.run"}


def __getattr__(name: str) -> Any:
    """Imported when first used: settings are read without Lightning."""
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
