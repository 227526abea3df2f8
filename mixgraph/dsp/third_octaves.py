"""Averages over third-octave bands of a spectrum in bins."""

from __future__ import annotations

import torch
from torch import Tensor

LOWEST_HZ = 50.0


def third_octave_means(hertz: Tensor) -> Tensor:
    """Returns a matrix that averages bins over third-octave bands from 50 Hz up.

    Args:
        hertz: (bins,), the frequency of each bin, rising.

    Shape:
        (bands, bins), float64, rows of sum 1; bands without a bin are left out.

        >>> third_octave_means(torch.tensor([0.0, 50.0, 100.0, 102.0])).tolist()
        [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    highest = float(hertz[-1])
    count = int(torch.log2(torch.tensor(max(highest / LOWEST_HZ, 1.0))) * 3) + 2
    band = torch.round(3 * torch.log2(hertz.double().clamp(min=1e-3) / LOWEST_HZ))
    member = (band.unsqueeze(0) == torch.arange(count, dtype=torch.float64).unsqueeze(1)).double()
    member = member[member.sum(dim=1) > 0]
    return member / member.sum(dim=1, keepdim=True)
