"""`python -m mixgraph export-onnx CHECKPOINT --target TARGET --out FILE`: a trained network as an ONNX file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser

_DESCRIPTION = (
    "Writes a trained network as an ONNX file, which is kept only if onnxruntime answers as torch does at two lengths. "
    "Of a demixer, masks takes magnitudes of the transform to masks, for any number of slices, and waveform takes a "
    "mix to stems, transform and inverse included, for any whole number of hops. Of an estimator, console takes the "
    "features of a song and its console to the network's answers. Needs the extra mixgraph[export]."
)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = CommandParser(description=_DESCRIPTION)
    parser.add_argument("checkpoint", type=Path, help="of a demixer or an estimator")
    parser.add_argument("--target", required=True, choices=("masks", "waveform", "console"), help="what to export")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write (.onnx)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)

    # These imports load torch and Lightning, which the help does not need.
    from mixgraph.checkpoints import kind_of, read_checkpoint
    from mixgraph.demixing import load_demixer
    from mixgraph.demixing.exporting import export_demixer
    from mixgraph.estimators import load_estimator
    from mixgraph.estimators.exporting import export_estimator
    from mixgraph.names import visible
    from mixgraph.onnx_file import check_extra
    from mixgraph.search.run import quiet_lightning

    quiet_lightning()
    check_extra()
    kind = kind_of(read_checkpoint(options.checkpoint))
    if kind == "an estimator":
        written = export_estimator(load_estimator(options.checkpoint), options.out, options.target, options.overwrite)
    elif kind == "a demixer":
        written = export_demixer(load_demixer(options.checkpoint), options.out, options.target, options.overwrite)
    else:
        raise ValueError(
            f"{options.checkpoint}: the checkpoint of a demixer or an estimator is needed, got that of {kind}: a found "
            "graph holds settings of processors, and no network. HINT: export RESULT --to FORMAT"
        )
    for shapes, error in written.differences:
        sys.stdout.write(f"onnxruntime against torch, {shapes}: {error:.1e} of the largest value\n")
    size = written.path.stat().st_size / 1e6
    sys.stdout.write(f"{visible(str(written.path))}: {options.target}, opset {written.opset}, {size:.1f} MB\n")
    return 0
