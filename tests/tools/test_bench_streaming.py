"""The benches of streams and of ONNX files: a card's underruns counted from times, and rows of a small network."""

import json
from pathlib import Path

import pytest

from tools.bench import onnx_speed, streaming


def small_config(folder: Path) -> Path:
    config = folder / "small.yaml"
    config.write_text(
        "model:\n  init_args:\n    targets: [vocals, drums]\n"
        "    transform: {num_bands: 5, low_hz: 600.0, slice_samples: 256, sample_rate: 8000}\n"
        "    network: {width: 4, target_width: 2, num_layers: 1, exchange: 2, causal: true}\n"
    )
    return config


def test_underruns_are_late_answers() -> None:
    assert streaming.underruns([0.5] * 10, 1.0) == 0
    assert streaming.underruns([0.5, 1.5, 0.5, 0.4], 1.0) == 1
    assert streaming.underruns([0.9, 0.9, 1.05, 1.0], 1.0) == 1
    assert streaming.underruns([2.0] * 5, 1.0) == 5


def test_a_small_network(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    config = small_config(tmp_path)
    out = tmp_path / "table.json"
    assert streaming.main(["--config", str(config), "--minutes", "0.01", "--out", str(out)]) == 0
    table = json.loads(out.read_text())
    assert [row[0] for row in table["rows"]] == ["256 (32.0 ms)", "512 (64.0 ms)", "1024 (128.0 ms)"]
    assert {row[1] for row in table["rows"]} == {"24.0"}
    assert "latency (ms)" in capsys.readouterr().out


@pytest.mark.long
def test_a_row_of_onnxruntime_against_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    demixer = streaming.demixer_of(small_config(tmp_path))
    name, target, *numbers = onnx_speed.row("small", demixer, "masks", 1.0, 2, 1)
    assert (name, target) == ("`small`", "masks")
    assert all(float(number) >= 0 for number in numbers)
