"""The sliced transform in real numbers: DFTs as matrix products, for runtimes without complex numbers or fast DFTs.

A DFT of N = A B values is two products with small matrices and a factor between them: with n = a B + b and
k = k' + A k'',

    X[k' + A k''] = sum_b w_B^(b k'') w_N^(b k') sum_a w_A^(a k') x[a B + b],      w_M = e^(-2 pi i / M)

(Cooley and Tukey 1965). A complex number is a pair of real tensors here, so that nothing complex is left.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mixgraph.dsp.slicqt import SliCQT

_ONE_PRODUCT = 64  # shorter DFTs are one product
Pair = tuple[Tensor, Tensor]


class RealDFT(nn.Module):
    """An orthonormal DFT over the last axis, of real and imaginary parts.

    Args:
        length: N; its factors A and B are the ones that are nearest to each other.
        inverse: the inverse DFT.
    """

    first: Tensor
    second: Tensor
    cosine: Tensor
    sine: Tensor

    def __init__(self, length: int, inverse: bool = False) -> None:
        super().__init__()
        sign = 1 if inverse else -1
        rows = length
        if length > _ONE_PRODUCT:
            rows = next(a for a in range(math.isqrt(length), 0, -1) if length % a == 0)
            rows = length // rows
        self.rows, self.columns = rows, length // rows
        turns = torch.outer(torch.arange(rows), torch.arange(self.columns)).double() * (2 * math.pi * sign / length)
        constants = {
            "first": _pair_matrix(rows, sign),
            "second": _pair_matrix(self.columns, sign).T,
            "cosine": turns.cos(),
            "sine": turns.sin(),
        }
        for name, values in constants.items():
            self.register_buffer(name, values.float(), persistent=False)

    def forward(self, real: Tensor, imaginary: Tensor) -> Pair:
        """Transforms (..., N) to (..., N)."""
        table = (self.rows, self.columns)
        pair = torch.cat((real.unflatten(-1, table), imaginary.unflatten(-1, table)), dim=-2)
        x, y = (self.first @ pair).split(self.rows, dim=-2)
        if self.columns > 1:
            turned = torch.cat((x * self.cosine - y * self.sine, x * self.sine + y * self.cosine), dim=-1)
            x, y = (turned @ self.second).split(self.columns, dim=-1)
        return x.transpose(-1, -2).flatten(-2), y.transpose(-1, -2).flatten(-2)


def _pair_matrix(length: int, sign: int) -> Tensor:
    """The orthonormal DFT as a real matrix that maps real parts above imaginary ones to the same."""
    steps = torch.arange(length)
    turns = (torch.outer(steps, steps) % length).double() * (2 * math.pi * sign / length)
    cosine, sine = turns.cos() / math.sqrt(length), turns.sin() / math.sqrt(length)
    return torch.cat((torch.cat((cosine, -sine), dim=1), torch.cat((sine, cosine), dim=1)))


class RealSliCQT(nn.Module):
    """A sliced transform and its inverse in real numbers, in float32, for signals of whole hops.

    Args:
        transform: the transform.
    """

    window: Tensor
    analysis_bin: Tensor
    analysis_weight: Tensor
    inverse_weight: Tensor

    def __init__(self, transform: SliCQT) -> None:
        super().__init__()
        bands, self.layout = transform.bands, transform.layout
        self.size, self.hop, self.num_covering = transform.slice_samples, transform.hop_samples, bands.num_covering
        self.num_bins = self.size // 2 + 1
        doubled = torch.full((self.num_bins,), 2.0)  # bins of the half spectrum that stand for a pair
        doubled[0] = doubled[-1] = 1
        constants = {"window": transform.window, "analysis_bin": bands.analysis_bin, "inverse_weight": doubled}
        names = ["analysis_weight"]
        for j in range(self.num_covering):
            constants[f"synthesis_place{j}"] = getattr(bands, f"synthesis_place{j}")
            names.append(f"synthesis_weight{j}")
        constants |= {name: bands.weights(name, transform.window.float()) for name in names}
        for name, values in constants.items():
            self.register_buffer(name, values.float() if values.is_floating_point() else values, persistent=False)
        self.forwards, self.backwards = RealDFT(self.size), RealDFT(self.size, inverse=True)
        sizes = [block.size for block in self.layout.blocks]
        self.to_coefficients = nn.ModuleList(RealDFT(size, inverse=True) for size in sizes)
        self.to_bins = nn.ModuleList(RealDFT(size) for size in sizes)

    def forward(self, signal: Tensor) -> Pair:
        """Transforms (..., hops N / 2) to real and imaginary parts of coefficients, (..., hops + 1, T)."""
        blocks = nn.functional.pad(signal, (self.hop, self.hop)).unflatten(-1, (-1, self.hop))
        slices = torch.cat((blocks[..., :-1, :], blocks[..., 1:, :]), dim=-1) * self.window
        spectrum = self.forwards(slices, torch.zeros_like(slices))
        buffers = [part.index_select(-1, self.analysis_bin) * self.analysis_weight for part in spectrum]
        return self._blockwise(self.to_coefficients, buffers[0], buffers[1])

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Transforms coefficients, (..., hops + 1, T), to the signal, (..., hops N / 2)."""
        buffers = self._blockwise(self.to_bins, real, imaginary)
        spectrum = [self._bins(part) * self.inverse_weight for part in buffers]
        padded = [nn.functional.pad(part, (0, self.size - self.num_bins)) for part in spectrum]
        slices = self.backwards(*padded)[0] * self.window
        joined = slices[..., :-1, self.hop :] + slices[..., 1:, : self.hop]
        return joined.flatten(-2)

    def _bins(self, buffers: Tensor) -> Tensor:
        total = torch.zeros(())
        for j in range(self.num_covering):
            place, weight = getattr(self, f"synthesis_place{j}"), getattr(self, f"synthesis_weight{j}")
            part = buffers.index_select(-1, place) * weight
            total = total + nn.functional.pad(part, (0, self.num_bins - len(weight)))
        return total

    def _blockwise(self, fouriers: nn.ModuleList, real: Tensor, imaginary: Tensor) -> Pair:
        sizes = [block.num_coefficients for block in self.layout.blocks]
        answers = []
        pairs = zip(self.layout.blocks, fouriers, real.split(sizes, -1), imaginary.split(sizes, -1), strict=True)
        for block, fourier, x, y in pairs:
            shape = (block.num_bands, block.size)
            answers.append([part.flatten(-2) for part in fourier(x.unflatten(-1, shape), y.unflatten(-1, shape))])
        return torch.cat([x for x, _ in answers], dim=-1), torch.cat([y for _, y in answers], dim=-1)
