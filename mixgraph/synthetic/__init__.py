"""Synthetic sets with known graphs: real dry tracks, mixed by our own processors, as many as are wanted."""

from mixgraph.synthetic.corpus import SPLITS, Corpus, DryTrack, load_corpus
from mixgraph.synthetic.mixing import GeneratedSample, GenerationSettings, make_sample
from mixgraph.synthetic.prior import GraphPrior, learn_prior
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
