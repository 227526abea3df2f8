"""The estimator as an ONNX file: from the features of a song and its console to what the network says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from mixgraph.estimators.examples import console_data, console_of_subgroups
from mixgraph.estimators.features import NUM_CUES, NUM_LAGS, NUM_MELS, SegmentFeatures
from mixgraph.estimators.module import EstimatorModule
from mixgraph.onnx_file import OnnxFile, check_place, write_onnx

_NAMES = (
    *("mels", "mix_mels", "cues", "lags", "x", "level", "head_index", "edge_index", "tree_index", "signal_index"),
    "processor_index",
)
_SONGS = ({"drums": ("kick", "snare"), "bass": ("di",)}, {"keys": ("piano",), "guitars": ("left", "right", "solo")})
_FRAMES = (50, 67)


class EstimatorGraph(nn.Module):
    """The network on the fields of one song's example, see `examples`; the answers are as the network gives them.

    Args:
        estimator: the estimator.
    """

    def __init__(self, estimator: EstimatorModule) -> None:
        super().__init__()
        self.network = estimator.network

    def forward(self, *fields: Tensor) -> tuple[Tensor, ...]:
        """Takes the fields `mels`, `mix_mels`, ... to keep, weight, and the codes and positions of every type."""
        answers = self.network(Data(**dict(zip(_NAMES, fields, strict=True))))
        return answers.keep, answers.weight, *answers.codes.values(), *answers.positions.values()


def export_estimator(
    estimator: EstimatorModule, out: Path, target: str = "console", overwrite: bool = False
) -> OnnxFile:
    """Writes the network of an estimator as an ONNX file, for songs of any number of tracks and any length.

    The features are computed outside, and so is what follows: probabilities, the standardised values' spreads, and the
    coding of settings.

    Raises:
        ValueError: another target, a wrong suffix, or ONNX is not installed.
        FileExistsError: something is at `out` that may not be replaced.
        RuntimeError: answers that differ from torch's.
        OSError: the file cannot be written.
    """
    if target != "console":
        raise ValueError(f"target: console for an estimator, got {target!r}, which is for a demixer")
    check_place(out, overwrite)
    estimator = estimator.cpu().eval()
    examples = [_example(estimator, song, frames) for song, frames in zip(_SONGS, _FRAMES, strict=True)]
    any_size, types = torch.export.Dim.DYNAMIC, list(estimator.network.heads)
    axes = {"mels": (0, 3), "mix_mels": (3,), "edge_index": (1,), "tree_index": (1,)}
    dynamic = tuple(dict.fromkeys(axes.get(name, (0,)), any_size) for name in _NAMES)
    with_positions = [kind for kind, head in estimator.network.heads.items() if head.num_positions]
    answers = ["keep", "weight", *(f"code_{kind}" for kind in types), *(f"position_{kind}" for kind in with_positions)]
    about: dict[str, Any] = {"target": target, "sample_rate": estimator.task.sample_rate}
    about |= {"inputs": list(_NAMES), "outputs": answers, "type_ids": estimator.network.vocabulary}
    return write_onnx(out, EstimatorGraph(estimator).eval(), _NAMES, answers, examples, (dynamic,), about, overwrite)


def _example(estimator: EstimatorModule, song: dict[str, tuple[str, ...]], frames: int) -> tuple[Tensor, ...]:
    task, generator = estimator.task, torch.Generator().manual_seed(0)
    console = console_of_subgroups(song, task.track_chain, task.subgroup_chain, "example")
    signals = sum(map(len, song.values())) + len(song) + 1
    shapes = (signals, 2, NUM_MELS, frames), (1, 2, NUM_MELS, frames), (signals, NUM_CUES), (signals, 2, NUM_LAGS)
    features = SegmentFeatures(*(torch.randn(shape, generator=generator) for shape in shapes))
    data = console_data(console, features, list(estimator.network.heads))
    return tuple(data[name] for name in _NAMES)
