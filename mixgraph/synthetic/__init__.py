"""Synthetic songs with known graphs, mixed by our own processors.

- `song`: songs whose tracks are made from formulas, with all processor types; removing any processor is audible.
- `sample`: many short samples of real dry tracks, for data sets.
- `mixer`: mixes songs and samples, and removes processors that hardly change the mix.
- `engineer`: settings as mixing engineers choose them.
- `prior`: how often processors are used, and settings like those of found graphs.
- `instruments`: dry tracks from formulas.
- `corpus`: dry tracks of several songs, each in one split, and excerpts of them.
- `workers`: makes many samples with several processes, in order.
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
