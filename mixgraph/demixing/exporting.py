"""The demixer as ONNX files: its masks, or all from the mix's waveform to those of the targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from mixgraph.demixing.masks import masks_from_logits
from mixgraph.demixing.module import Demixer
from mixgraph.demixing.real_transform import RealSliCQT
from mixgraph.dsp.slicqt import RaggedSpectrum
from mixgraph.onnx_file import OnnxFile, check_place, write_onnx

OnnxTarget = Literal["masks", "waveform"]
LEAST_SLICES = 4
"""Shorter inputs of a file are refused by onnxruntime; add zeros."""
_SLICES = (9, 5)  # of the two examples


class MaskGraph(nn.Module):
    """Magnitudes, (1, channels, slices, T), to masks, (1, targets, channels, slices, T)."""

    def __init__(self, demixer: Demixer) -> None:
        super().__init__()
        self.demixer = demixer

    def forward(self, magnitude: Tensor) -> Tensor:
        """Predicts masks of magnitudes."""
        return _masks(self.demixer, magnitude.square())


class WaveformGraph(nn.Module):
    """A mix, (1, channels, samples), to targets, (1, targets, channels, samples), of a whole number of hops."""

    def __init__(self, demixer: Demixer) -> None:
        super().__init__()
        self.demixer, self.transform = demixer, RealSliCQT(demixer.transform)

    def forward(self, mix: Tensor) -> Tensor:
        """Takes a mix apart."""
        real, imaginary = self.transform(mix)
        masks = _masks(self.demixer, real.square() + imaginary.square())
        return self.transform.inverse(masks * real.unsqueeze(1), masks * imaginary.unsqueeze(1))


def _masks(demixer: Demixer, power: Tensor) -> Tensor:
    layout = demixer.transform.layout
    logits: RaggedSpectrum = demixer.network(RaggedSpectrum(demixer.seen(power), layout))
    return masks_from_logits(logits, demixer.mask_kind).flat


def export_demixer(demixer: Demixer, out: Path, target: OnnxTarget = "masks", overwrite: bool = False) -> OnnxFile:
    """Writes a demixer as an ONNX file, which onnxruntime has then computed as torch does, at two lengths.

    `masks` takes magnitudes of any number of slices from `LEAST_SLICES` on; the transform is computed outside.
    `waveform` takes any whole number of hops, `(LEAST_SLICES - 1) hop_samples` at least; its transform is in real
    numbers, DFTs are products of matrices. The file's metadata says what it takes.

    Raises:
        ValueError: another target, a wrong suffix, a Wiener filter in `waveform`, or ONNX is not installed.
        FileExistsError: something is at `out` that may not be replaced.
        RuntimeError: answers that differ from torch's.
        OSError: the file cannot be written.
    """
    if target not in get_args(OnnxTarget):
        raise ValueError(f"target: one of {', '.join(get_args(OnnxTarget))} for a demixer, got {target!r}")
    check_place(out, overwrite)
    if target == "waveform" and demixer.wiener != "never":
        raise ValueError(
            "target: waveform is not possible with a Wiener filter, whose complex matrices have no ONNX operators and "
            "whose statistics are of a whole signal. HINT: --target masks, and the filter outside"
        )
    demixer = demixer.cpu().eval()
    transform, generator = demixer.transform, torch.Generator().manual_seed(0)
    hop, size = transform.hop_samples, transform.layout.num_coefficients
    about: dict[str, Any] = {"target": target, "targets": list(demixer.targets), "sample_rate": demixer.sample_rate}
    about |= {"slice_samples": transform.slice_samples, "hop_samples": hop, "settings": demixer.settings()}
    slices = torch.export.Dim("slices", min=LEAST_SLICES)
    hops = torch.export.Dim("hops", min=LEAST_SLICES - 1)
    if target == "masks":
        shapes = [(1, demixer.channels, number, size) for number in _SLICES]
        tensors = [torch.rand(shape, generator=generator) for shape in shapes]
        module: nn.Module = MaskGraph(demixer)
        name, dynamic = "magnitude", {2: slices}
    else:
        shapes = [(1, demixer.channels, (number - 1) * hop) for number in _SLICES]  # type: ignore[misc]
        tensors = [0.1 * torch.randn(shape, generator=generator) for shape in shapes]
        module, name, dynamic = WaveformGraph(demixer), "mix", {2: hop * hops}
    about |= {"input": f"{name} {_axes(target)[0]}", "output": _axes(target)[1]}
    examples = [(tensor,) for tensor in tensors]
    answers = ["masks"] if target == "masks" else ["stems"]
    return write_onnx(out, module.eval(), [name], answers, examples, (dynamic,), about, overwrite)


def _axes(target: OnnxTarget) -> tuple[str, str]:
    if target == "masks":
        axes = "(1, channels, slices, coefficients)", "(1, targets, channels, slices, coefficients)"
    else:
        axes = "(1, channels, hops * hop_samples)", "(1, targets, channels, hops * hop_samples)"
    return axes
