"""Audio effects as other software has them, to mix songs with that our own processors did not make.

Plain functions on float arrays, (channels, samples). None of them shares code with `mixgraph.processors`: their filters
are recursive, their dynamics have attack, release and look-ahead, their delays and reverbs feed back.

- `equalizer`: second-order peaks, shelves and cuts.
- `dynamics`: compressor and gate.
- `delay`: feedback delay, also from side to side.
- `reverb`: feedback delay network.
- `saturation`: soft clipping with oversampling.
- `limiter`: brickwall limiter with look-ahead.
- `stereo`: level, pan and width.
"""

from mixgraph.effects.delay import feedback_delay
from mixgraph.effects.dynamics import compress, gate
from mixgraph.effects.equalizer import Band, equalize, response_db
from mixgraph.effects.limiter import limit
from mixgraph.effects.reverb import reverberate
from mixgraph.effects.saturation import saturate
from mixgraph.effects.stereo import pan, widen

__all__ = [
    "Band",
    "compress",
    "equalize",
    "feedback_delay",
    "gate",
    "limit",
    "pan",
    "response_db",
    "reverberate",
    "saturate",
    "widen",
]
