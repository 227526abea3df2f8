"""The estimator's network as an ONNX file answers as torch does, for songs of other sizes, too."""

from pathlib import Path

import pytest
import torch

from mixgraph.estimators.exporting import export_estimator
from mixgraph.estimators.module import EstimatorModule
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings

TASK = EstimatorTask(sample_rate=8000, segment_seconds=2.0, track_chain="rdg", subgroup_chain="cg")


@pytest.mark.long
def test_songs_of_other_sizes(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    torch.manual_seed(0)
    estimator = EstimatorModule(TASK, NetworkSettings(width=16, num_layers=1))
    written = export_estimator(estimator, tmp_path / "console.onnx")  # with a song of 3 tracks; compared with 4, too
    assert len(written.differences) == 2
    assert max(error for _, error in written.differences) < 1e-5


def test_targets_of_a_demixer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="console for an estimator, got 'masks', which is for a demixer"):
        export_estimator(EstimatorModule(TASK, NetworkSettings(width=16, num_layers=1)), tmp_path / "a.onnx", "masks")
