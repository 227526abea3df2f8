"""Synthetic songs with known graphs, mixed by our own processors or by other effects.

- `song`: songs whose tracks are made from formulas, with all processor types; removing any processor is audible.
- `sample`: many short samples of real dry tracks, for data sets; `settings` are theirs.
- `cast`, `recording`: draws a sample's tracks; bleed, noise and fades.
- `studio`, `devices`: mixes by the effects of `mixgraph.effects`, and draws their settings.
- `mixer`: mixes songs and samples, and removes processors that hardly change the mix.
- `engineer`: settings as mixing engineers choose them; `balance`: gains of one who listens to the tracks.
- `prior`: how often processors are used, and settings like those of found graphs.
- `instruments`: dry tracks from formulas.
- `corpus`: dry tracks of several songs, each in one split, and excerpts of them.
- `workers`: makes many samples with several processes, in order.
"""

from mixgraph.synthetic.corpus import SPLITS, Corpus, DryTrack, load_corpus
from mixgraph.synthetic.prior import GraphPrior, learn_prior
from mixgraph.synthetic.recording import RecordingSettings
from mixgraph.synthetic.sample import UNKNOWN_SETTINGS, GeneratedSample, make_sample
from mixgraph.synthetic.settings import GenerationSettings, MixingSettings
from mixgraph.synthetic.workers import Plan, generate

__all__ = [
    "SPLITS",
    "UNKNOWN_SETTINGS",
    "Corpus",
    "DryTrack",
    "GeneratedSample",
    "GenerationSettings",
    "GraphPrior",
    "MixingSettings",
    "Plan",
    "RecordingSettings",
    "generate",
    "learn_prior",
    "load_corpus",
    "make_sample",
]
