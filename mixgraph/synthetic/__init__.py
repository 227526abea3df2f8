"""Synthetic songs with known graphs, mixed by our own processors.

- `song`: songs of formulas, with all processor types, of which each matters.
- `sample`: many short samples of real dry tracks, for data sets.
- `mixer`: how both are mixed, and processors that cost too little removed.
- `engineer`: settings as mixing engineers choose them.
- `prior`: how often processors are used, and settings like those of found graphs.
- `instruments`: dry tracks from formulas.
- `corpus`: dry tracks of several songs, each in one split, and excerpts of them.
- `workers`: many samples, made by several processes, in order.
"""

from mixgraph.synthetic.corpus import SPLITS, Corpus, DryTrack, load_corpus
from mixgraph.synthetic.prior import GraphPrior, learn_prior
from mixgraph.synthetic.sample import GeneratedSample, GenerationSettings, make_sample
from mixgraph.synthetic.workers import Plan, generate

__all__ = [
    "SPLITS",
    "Corpus",
    "DryTrack",
    "GeneratedSample",
    "GenerationSettings",
    "GraphPrior",
    "Plan",
    "generate",
    "learn_prior",
    "load_corpus",
    "make_sample",
]
