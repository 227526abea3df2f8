"""A network that predicts mixing graphs from tracks and mix, what it is trained on, and what it is judged against.

- `features`: the network's inputs, computed from a segment of tracks and mix.
- `coding`: parameters of processors as short vectors that a network can predict, and back.
- `examples`: a song's full console with features and labels.
- `cache`, `data`: examples on disk, and batches of them.
- `statistics`: the means and spreads of a training set.
- `network`, `module`: the network, and its training.
- `weights`: estimators as safetensors files, and the one that comes with mixgraph.
- `settings`: the settings of task, network, losses and optimizer.
- `prediction`: predicts the graph of a song.
- `baselines`, `evaluation`: compares predictions with simple guesses and with the true graphs.

The names below are imported when first used, so that the parts that need no Trainer do not load one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixgraph.estimators.data import EstimatorData
    from mixgraph.estimators.module import EstimatorModule
    from mixgraph.estimators.prediction import Prediction, estimate_song
    from mixgraph.estimators.weights import load_estimator

_WHERE = {
    "EstimatorData": "mixgraph.estimators.data",
    "EstimatorModule": "mixgraph.estimators.module",
    "Prediction": "mixgraph.estimators.prediction",
    "estimate_song": "mixgraph.estimators.prediction",
    "load_estimator": "mixgraph.estimators.weights",
}

__all__ = ["EstimatorData", "EstimatorModule", "Prediction", "estimate_song", "load_estimator"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
