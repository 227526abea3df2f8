"""How the probabilities of found processors are calibrated: searches of songs with known graphs, a fit, a judgement.

- `searches`: synthetic songs whose graph is known, searched by a short schedule, with what was found kept.
- `fit`: logistic regression on what a search tells of its processors, and how well it is calibrated.
- `picture`: the reliability diagram.
"""
