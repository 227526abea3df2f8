"""The peer's whole-song evaluation: the mean over clips rendered from silence, on the full graph."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.bench.peer.console import PeerConsole
from tools.bench.peer.loss import WARM_UP, PeerLoss

SEGMENT, HOP = 114000, 84000
Segment = tuple[Tensor, Tensor]


def make_segments(sources: Tensor, mix: Tensor, length: int = SEGMENT) -> list[Segment]:
    """Cuts a song into clips that overlap by the warm-up, zeros past its end; all are made beforehand.

    Args:
        sources: the dry tracks, (inputs, 2, L).
        mix: the mix, (2, L).
        length: the length of a clip in samples.

    Returns:
        (sources, target) of each clip: (inputs, 2, length) and (1, 2, length).
    """
    hop, total = length - WARM_UP, mix.shape[-1]
    segments = []
    for start in range(0, total, hop):
        part, target = (x[..., start : start + length] for x in (sources, mix))
        missing = length - target.shape[-1]
        segments.append((F.pad(part, (0, missing)), F.pad(target, (0, missing)).unsqueeze(0)))
    return segments


class PeerEvaluator:
    """Evaluates a console, and the console with weights of some processors set to 0, which are still computed.

    Args:
        console: the console to evaluate.
        loss: the match loss.
        segments: clips of the song, see `make_segments`.
    """

    def __init__(self, console: PeerConsole, loss: PeerLoss, segments: list[Segment]) -> None:
        self.console, self.loss, self.segments = console, loss, segments

    @torch.no_grad()
    def evaluate(self, removed: Collection[int] = ()) -> float:
        """The mean loss without the given processors (indices into the graph's)."""
        weights = self.console.weights()
        weights[self.console.position(removed)] = 0
        total = 0.0
        for sources, target in self.segments:
            rendering = self.console(sources, weights, grad=False)
            total += float(self.loss(rendering.mix, target).full)
        return total / len(self.segments)
