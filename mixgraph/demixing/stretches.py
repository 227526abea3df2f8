"""Separation of a signal that is read piece by piece, in stretches that see enough of their neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mixgraph.demixing.module import Demixer


@torch.no_grad()
def separate_pieces(demixer: Demixer, pieces: Iterable[Tensor], seconds: float) -> Iterator[tuple[int, Tensor]]:
    """Takes a signal apart that need not be in memory as a whole; no other result than of the whole at once.

    A stretch is computed together with the samples around it on which it depends, see `Demixer.context_samples`. (Where
    a Wiener filter is on, its statistics are those of a stretch.)

    Args:
        demixer: what separates; it does so in evaluation mode, on its device.
        pieces: the mix, (1 or 2 channels, samples), one piece after the other, of any lengths, at the demixer's rate.
        seconds: length of a stretch; memory grows with it.

    Yields:
        The number of a stretch's first sample, and its targets, (targets, channels, samples), on the mix's device.
    """
    hop, context = demixer.transform.hop_samples, demixer.context_samples
    size = max(1, round(seconds * demixer.sample_rate / hop)) * hop  # whole slices, so that stretches fit together
    held: list[Tensor] = []  # samples from `first` on, a multiple of the hop
    first, stop, start = 0, 0, 0
    for piece in pieces:
        held.append(piece)
        stop += piece.shape[-1]
        while stop >= start + size + context:
            mix = torch.cat(held, dim=-1)
            part = mix[:, : start + size + context - first]
            yield start, _separated(demixer, part)[..., start - first : start - first + size]
            start += size
            following = max(0, start - context)
            held, first = [mix[:, following - first :].clone()], following
    if stop > start:
        mix = torch.cat(held, dim=-1)
        while start < stop:
            part = mix[:, max(0, start - context) - first : start + size + context - first]
            begin = start - max(0, start - context)
            yield start, _separated(demixer, part)[..., begin : min(begin + size, begin + stop - start)]
            start += size


def _separated(demixer: Demixer, mix: Tensor) -> Tensor:
    was_training = demixer.training
    demixer.eval()
    try:
        stereo = mix.expand(demixer.channels, -1).to(demixer.device, torch.float32)
        estimates: Tensor = demixer(stereo.unsqueeze(0))[0]
        return estimates.to(mix.device)
    finally:
        demixer.train(was_training)
