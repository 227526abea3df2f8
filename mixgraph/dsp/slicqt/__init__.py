"""The nonstationary Gabor transform (NSGT) and its sliced form, the sliced constant-Q transform (sliCQT).

- `scales`: where the bands are: Bark, Mel, constant Q, variable Q, linear, or a list.
- `frame`: the windows of the bands, as index lists of a tight frame.
- `ragged`: `RaggedSpectrum`, the coefficients of bands that differ in rate.
- `transforms`: `NSGT` of signals of one length, `SliCQT` of signals of any length; both ways differentiable.
- `choosing`: which transform suits given stems, by ideal masks.
"""

from mixgraph.dsp.slicqt.frame import Raster
from mixgraph.dsp.slicqt.ragged import Block, Layout, RaggedSpectrum
from mixgraph.dsp.slicqt.scales import SCALES, Scale, make_scale, multi_resolution_scale
from mixgraph.dsp.slicqt.transforms import NSGT, SliCQT

__all__ = [
    "NSGT",
    "SCALES",
    "Block",
    "Layout",
    "RaggedSpectrum",
    "Raster",
    "Scale",
    "SliCQT",
    "make_scale",
    "multi_resolution_scale",
]
