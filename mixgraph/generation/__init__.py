"""Synthetic sets with known graphs: real dry tracks, mixed by our own processors, as many as are wanted."""

from mixgraph.generation.corpus import SPLITS, Corpus, DryTrack, load_corpus
from mixgraph.generation.mixing import GeneratedSample, GenerationSettings, make_sample
from mixgraph.generation.prior import GraphPrior, learn_prior
from mixgraph.generation.workers import Plan, generate

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
