"""ONNX files answer as torch does, at lengths that they were not exported with; what does not export says so."""

import json
from pathlib import Path

import pytest
import torch

from mixgraph.cli.commands import run
from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings, PublishedSettings
from mixgraph.demixing.exporting import export_demixer
from mixgraph.demixing.real_transform import RealDFT, RealSliCQT
from mixgraph.onnx_file import open_onnx

RATE, HOP = 8000, 128


def make_demixer(**settings) -> Demixer:
    torch.manual_seed(0)
    transform = DemixerTransform(num_bands=5, low_hz=600.0, slice_samples=2 * HOP, sample_rate=RATE)
    sizes = {"network": NetworkSettings(6, 3, 1, exchange=5), "published": PublishedSettings(4, 4)}
    demixer = Demixer(**({"transform": transform} | sizes | settings)).eval()
    for parameter in demixer.network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return demixer


@pytest.mark.parametrize("length", [4, 28, 64, 128, 292, 2048])
@pytest.mark.parametrize("inverse", [False, True])
def test_dfts_as_products_of_matrices(length: int, inverse: bool) -> None:
    values = torch.randn(3, length, dtype=torch.complex64)
    real, imaginary = RealDFT(length, inverse)(values.real, values.imag)
    expected = (torch.fft.ifft if inverse else torch.fft.fft)(values, norm="ortho")
    assert float((torch.complex(real, imaginary) - expected).abs().max()) < 2e-6 * float(expected.abs().max())


@pytest.mark.parametrize("raster", ["power_of_two", "ragged"])
def test_the_transform_in_real_numbers_is_the_transform(raster) -> None:
    transform = DemixerTransform(num_bands=14, low_hz=150.0, sample_rate=RATE, raster=raster).make()
    signal = torch.randn(2, 5 * transform.hop_samples)
    in_reals = RealSliCQT(transform)
    real, imaginary = in_reals(signal)
    expected = transform(signal).flat
    assert float((torch.complex(real, imaginary) - expected).abs().max()) < 2e-6 * float(expected.abs().max())
    assert float((in_reals.inverse(real, imaginary) - signal).abs().max()) < 1e-5


@pytest.mark.long
def test_masks_of_any_number_of_slices(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    demixer = make_demixer()
    written = export_demixer(demixer, tmp_path / "masks.onnx", "masks")
    assert len(written.differences) == 2
    assert max(error for _, error in written.differences) < 1e-5
    session = open_onnx(written.path, threads=1)
    about = json.loads(session.get_modelmeta().custom_metadata_map["mixgraph"])
    assert about["targets"] == ["vocals", "drums", "bass", "other"]
    for slices in (4, 23):
        mix = demixer.transform(torch.randn(1, 2, (slices - 1) * HOP))
        masks = torch.from_numpy(session.run(None, {"magnitude": mix.flat.abs().numpy()})[0])
        assert float((masks - demixer.masks(mix).flat.detach()).abs().max()) < 1e-5


@pytest.mark.long
def test_waveforms_of_any_whole_number_of_hops(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    demixer = make_demixer(masks="sigmoid")
    checkpoint: dict = {"state_dict": demixer.state_dict()}
    demixer.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "demixer.ckpt")
    words = ["export-onnx", str(tmp_path / "demixer.ckpt"), "--target", "waveform", "--out", str(tmp_path / "all.onnx")]
    assert run(words) == 0
    session = open_onnx(tmp_path / "all.onnx", threads=1)
    for hops in (3, 40):
        mix = torch.randn(1, 2, hops * HOP)
        stems = torch.from_numpy(session.run(None, {"mix": mix.numpy()})[0])
        whole = demixer(mix).detach()
        assert float((stems - whole).abs().max()) < 1e-5 * float(whole.abs().max())
    with pytest.raises(FileExistsError, match="exists and is kept"):
        run(words)


def test_what_cannot_be_exported_says_why(tmp_path: Path, monkeypatch) -> None:
    demixer = make_demixer(wiener="separating")
    with pytest.raises(ValueError, match="waveform is not possible with a Wiener filter"):
        export_demixer(demixer, tmp_path / "a.onnx", "waveform")
    with pytest.raises(ValueError, match="target: one of masks, waveform for a demixer, got 'console'"):
        export_demixer(demixer, tmp_path / "a.onnx", "console")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a file whose name ends in \.onnx is needed"):
        export_demixer(demixer, tmp_path / "a.pt")
    monkeypatch.setattr("mixgraph.onnx_file.EXTRA", ("onnx", "no_such_package"))
    with pytest.raises(ValueError, match=r"no_such_package must be installed to export. HINT: pip install"):
        export_demixer(demixer, tmp_path / "a.onnx")
    monkeypatch.setattr("mixgraph.onnx_file.EXTRA", ("torch",))
    torch.save({"state_dict": {}, "mixgraph": "{}"}, tmp_path / "search.ckpt")
    with pytest.raises(ValueError, match="got that of a search for a graph: a found graph holds settings"):
        run(["export-onnx", str(tmp_path / "search.ckpt"), "--target", "masks", "--out", str(tmp_path / "a.onnx")])
