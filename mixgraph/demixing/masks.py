"""From the answers of a network to masks, and to estimates that have the phase of the mix."""

from __future__ import annotations

from typing import Literal, get_args

from mixgraph.dsp.slicqt import RaggedSpectrum

MaskKind = Literal["sigmoid", "softmax"]


def masks_from_logits(logits: RaggedSpectrum, kind: MaskKind) -> RaggedSpectrum:
    """Makes masks of logits, (batch, targets, channels, slices, ...); the same shape.

    Args:
        logits: the answers of a network.
        kind: `"sigmoid"`, every target by itself, or `"softmax"`, whose masks add up to 1.

    Raises:
        ValueError: another kind.
    """
    if kind not in get_args(MaskKind):
        raise ValueError(f"masks: one of {', '.join(get_args(MaskKind))}, got {kind!r}")
    flat = logits.flat.float() if logits.flat.dtype.itemsize < 4 else logits.flat
    return RaggedSpectrum(flat.sigmoid() if kind == "sigmoid" else flat.softmax(dim=1), logits.layout)


def apply_masks(masks: RaggedSpectrum, mix: RaggedSpectrum) -> RaggedSpectrum:
    """Multiplies the coefficients of a mix, (batch, channels, slices, ...), by the masks of every target."""
    return RaggedSpectrum(masks.flat * mix.flat.unsqueeze(1), mix.layout)
