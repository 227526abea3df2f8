"""The audio processors. A new one is one file here that registers itself; import it below.

- `base`: what a processor is; `parameter`: what its trainable parameters are.
- `readings`: the effects of settings, as data for reports and comparisons.
- `other_rates`: settings at another sample rate than the one that they were found at.
- `usage`: how engineers use a processor, for synthetic songs.
- `registry`: processors by name, letter and type id; `collection`: one object of each type.
- `dynamics`: what compressors and gates share.
- every other module is one processor.
"""

from collections.abc import Mapping
from typing import Any

from mixgraph.processors import (
    attack_release_compressor,
    attack_release_gate,
    band_splitter,
    compressor,
    delay,
    equalizer,
    fader,
    gain_panning,
    late_reverb,
    mid_side_splitter,
    noisegate,
    parametric_equalizer,
    reverb,
    saturator,
    send,
    sidechain_compressor,
    stereo_imager,
)
from mixgraph.processors.base import Processor
from mixgraph.processors.collection import Processors
from mixgraph.processors.parameter import Parameter, Parameters
from mixgraph.processors.registry import processor_type, register, registered, types_from_letters

__all__ = [
    "Parameter",
    "Parameters",
    "Processor",
    "Processors",
    "attack_release_compressor",
    "attack_release_gate",
    "band_splitter",
    "compressor",
    "delay",
    "equalizer",
    "fader",
    "gain_panning",
    "late_reverb",
    "make_processors",
    "mid_side_splitter",
    "noisegate",
    "parametric_equalizer",
    "processor_type",
    "register",
    "registered",
    "reverb",
    "saturator",
    "send",
    "sidechain_compressor",
    "stereo_imager",
    "types_from_letters",
]


def make_processors(sample_rate: int = 30000, options: Mapping[str, Mapping[str, Any]] | None = None) -> Processors:
    """Makes an object of every registered type.

    Args:
        sample_rate: sample rate of the audio to process, in Hz.
        options: processor name -> constructor arguments that differ from the defaults.

    Raises:
        ValueError: options for an unknown processor, or an unknown option of a known one.
    """
    processors = {}
    for name in options or {}:
        processor_type(name)
    for name, kind in registered().items():
        arguments = dict((options or {}).get(name, {}))
        try:
            processors[name] = kind(sample_rate=sample_rate, **arguments)
        except TypeError as error:
            raise ValueError(f"options of processor {name!r}: {error}") from error
    return Processors(processors)
