"""The peer of the benchmark: the paper's method over `grafx` 0.6.0, as its authors published it.

The renderer and the processors are the package's own (its FFT convolutions, without flashfftconv); the loss, the
training step, the evaluation and the search rules are written here from what is known of the published code.
Nothing of mixgraph's fast rendering, losses or caches is used. Audio is at 30 kHz, the only rate the peer knows.

- `console`: a mixing console as a grafx graph, with its values
- `loss`: the match loss
- `training`: the training step
- `evaluation`: the whole-song evaluation
- `search`: the pruning rules, and a whole search
"""

from tools.bench.peer.console import PeerConsole, PeerRendering
from tools.bench.peer.evaluation import PeerEvaluator, make_segments
from tools.bench.peer.loss import PeerLoss, PeerTerms
from tools.bench.peer.search import PeerSearch, PeerTrial, brute_force_round, weight_round
from tools.bench.peer.training import PeerTrainer

__all__ = [
    "PeerConsole",
    "PeerEvaluator",
    "PeerLoss",
    "PeerRendering",
    "PeerSearch",
    "PeerTerms",
    "PeerTrainer",
    "PeerTrial",
    "brute_force_round",
    "make_segments",
    "weight_round",
]
