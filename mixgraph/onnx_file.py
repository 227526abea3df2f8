"""ONNX files of networks: exported, checked, compared with torch by onnxruntime, and only then given their name."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixgraph.system.files import naming, sync_folder, temporary_path

EXTRA = ("onnx", "onnxscript", "onnxruntime")
MOST_ERROR = 1e-5
"""Of the largest value of torch's answer."""


@dataclass(frozen=True)
class OnnxFile:
    """A file that was written.

    Attributes:
        path: the file.
        opset: version of the ONNX operators.
        differences: for each of the examples, the shape of its first input, and the largest difference from torch,
            relative to the largest value of torch's answer.
    """

    path: Path
    opset: int
    differences: tuple[tuple[str, float], ...]


def check_extra() -> None:
    """Checks that what writes and reads ONNX files is installed.

    Raises:
        ValueError: it is not.
    """
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"onnx: {', '.join(missing)} must be installed to export. HINT: pip install 'mixgraph[export]'"
        )


def check_place(out: Path, overwrite: bool) -> None:
    """Checks that a file may be written.

    Raises:
        FileExistsError: something is there that may not be replaced.
        ValueError: the suffix is not .onnx.
    """
    if out.suffix.lower() != ".onnx":
        raise ValueError(f"out: a file whose name ends in .onnx is needed, got {str(out)!r}")
    if out.is_dir():
        raise FileExistsError(f"out: {out} is a folder and is kept; the name of a file is needed")
    if out.exists() and not overwrite:
        raise FileExistsError(f"out: {out} exists and is kept; choose another name or give --overwrite")


def write_onnx(
    out: Path,
    module: nn.Module,
    names: Sequence[str],
    answers: Sequence[str],
    examples: Sequence[tuple[Tensor, ...]],
    dynamic_shapes: Any,
    about: Mapping[str, Any],
    overwrite: bool = False,
) -> OnnxFile:
    """Exports a module of real tensors, on the CPU and in evaluation mode; there is no file unless it answers as torch.

    Args:
        out: the file, *.onnx.
        module: the module; it returns a tensor, or a tuple of tensors.
        names: names of its inputs.
        answers: names of its outputs.
        examples: inputs; the module is exported with the first and compared with torch on all of them.
        dynamic_shapes: axes of the inputs that may change, see `torch.export.export`.
        about: what the file is to say of itself, kept as JSON in its metadata under `mixgraph`.
        overwrite: replace an existing file.

    Raises:
        FileExistsError: something is at `out` that may not be replaced.
        ValueError: a wrong suffix, or ONNX is not installed.
        RuntimeError: an operator that cannot be exported, or answers that differ.
        OSError: the file cannot be written.
    """
    check_extra()
    check_place(out, overwrite)
    import onnx

    out.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_path(out)
    try:
        with naming(out), _quiet():
            torch.onnx.export(
                module,
                examples[0],
                partial,
                input_names=list(names),
                output_names=list(answers),
                dynamic_shapes=dynamic_shapes,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        model = onnx.load(partial)
        onnx.helper.set_model_props(model, {"mixgraph": json.dumps(about)})
        onnx.checker.check_model(model)
        with naming(out):
            onnx.save(model, partial)
        differences = tuple(_compare(partial, module, names, example) for example in examples)
        worst = max(error for _, error in differences)
        if not worst <= MOST_ERROR:
            raise RuntimeError(f"{out}: answers within {MOST_ERROR:g} of torch's are needed, got {worst:.2g}")
        with naming(out), partial.open("rb") as file:
            os.fsync(file.fileno())
            os.replace(partial, out)
            sync_folder(out.parent)
    finally:
        partial.unlink(missing_ok=True)
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    return OnnxFile(out, opset, differences)


def open_onnx(path: Path, threads: int | None = None) -> Any:
    """Opens a file as an onnxruntime session on the CPU."""
    check_extra()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def _compare(path: Path, module: nn.Module, names: Sequence[str], example: tuple[Tensor, ...]) -> tuple[str, float]:
    answer = module(*example)
    expected = answer if isinstance(answer, tuple) else (answer,)
    session = open_onnx(path)
    known = {value.name for value in session.get_inputs()}
    inputs = {name: tensor.numpy() for name, tensor in zip(names, example, strict=True) if name in known}
    shapes = f"{names[0]} {tuple(example[0].shape)}"
    worst = 0.0
    for mine, theirs in zip(expected, session.run(None, inputs), strict=True):
        got = torch.from_numpy(theirs)
        if got.shape != mine.shape:
            raise RuntimeError(f"{path}: an answer of {tuple(mine.shape)} is needed, got {tuple(got.shape)}")
        if mine.numel():
            worst = max(worst, float((got - mine).abs().max() / mine.abs().max().clamp_min(1e-30)))
    return shapes, worst


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that are not needed, and of its own calls that are old."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
