"""Demixing on the sliced constant-Q transform: from a mix to its targets, such as vocals, drums, bass and other.

- `network`: a network a block of the ragged transform, for all targets at once, with an exchange between blocks.
- `published_network`: the layout of xumx-sliCQ-V2's networks, to compare with.
- `masks`: from a network's answers to masks, and to estimates with the phase of the mix.
- `wiener`: an iteration of expectation maximisation of a multichannel Wiener filter, differentiable.
- `module`: the LightningModule of all this, `Demixer`; it trains, and separates signals of any length.
- `stretches`, `files`: signals and files of any length, in stretches. `streaming`: chunks in, chunks out.
- `pruning`: a smaller network and its training; `channels`: which ones matter, and the network without the others.
- `blending`: some targets by other checkpoints. `exporting`, `real_transform`: ONNX files.
- `settings`: its settings. `scores`: how well a target was separated.
- `losses`: errors over all combinations of targets, of the sum of masks, and of waveforms.
"""

from mixgraph.demixing.blending import blend
from mixgraph.demixing.losses import combination_error, mask_sum_error, waveform_error_db
from mixgraph.demixing.masks import MaskKind, apply_masks, masks_from_logits
from mixgraph.demixing.module import Demixer, load_demixer
from mixgraph.demixing.network import DemixingNetwork, NetworkSettings
from mixgraph.demixing.pruning import ChannelPruning, PruningSettings, save_demixer
from mixgraph.demixing.published_network import PublishedNetwork
from mixgraph.demixing.settings import (
    DemixerLosses,
    DemixerOptimizer,
    DemixerTransform,
    Performance,
    PublishedSettings,
)
from mixgraph.demixing.streaming import StreamingDemixer
from mixgraph.demixing.wiener import wiener_filter

__all__ = [
    "ChannelPruning",
    "Demixer",
    "DemixerLosses",
    "DemixerOptimizer",
    "DemixerTransform",
    "DemixingNetwork",
    "MaskKind",
    "NetworkSettings",
    "Performance",
    "PruningSettings",
    "PublishedNetwork",
    "PublishedSettings",
    "StreamingDemixer",
    "apply_masks",
    "blend",
    "combination_error",
    "load_demixer",
    "mask_sum_error",
    "masks_from_logits",
    "save_demixer",
    "waveform_error_db",
    "wiener_filter",
]
