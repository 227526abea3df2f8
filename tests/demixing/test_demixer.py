"""The demixer: stretches equal the whole, gradients reach all weights, checkpoints hold settings and no code."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from mixgraph.demixing import (
    Demixer,
    DemixerLosses,
    DemixerTransform,
    NetworkSettings,
    Performance,
    PublishedSettings,
    load_demixer,
)
from mixgraph.demixing.batches import StemBatch
from mixgraph.demixing.module import CHECKPOINT_KEY
from mixgraph.demixing.scores import song_sdr_db

TRANSFORM = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=8000)
SMALL = NetworkSettings(width=6, target_width=3, num_layers=2, exchange=5)


def small(**settings) -> Demixer:
    torch.manual_seed(0)
    defaults = {"transform": TRANSFORM, "network": SMALL, "published": PublishedSettings(4, 4)}
    return Demixer(**(defaults | settings))


def batch(num_targets: int = 4) -> StemBatch:
    targets = torch.randn(2, num_targets, 2, 2000, generator=torch.Generator().manual_seed(1))
    return StemBatch(targets, targets.sum(1), ("a", "b"))


@pytest.mark.parametrize(
    "settings",
    [{}, {"network": NetworkSettings(6, 3, 2, exchange=5, causal=True)}, {"architecture": "published"}],
    ids=["ours", "causal", "published"],
)
def test_stretches_equal_the_whole(settings) -> None:
    module = small(**settings)
    module.train()
    mix = batch().mix[0]
    for _ in range(3):
        module(mix.unsqueeze(0))  # running statistics of the norms
    whole = module.eval()(mix.unsqueeze(0))[0].detach()
    parts = torch.cat([part for _, part in module.separate_stretches(mix, 300 / 8000)], dim=-1)
    assert float((parts - whole).abs().max()) < 1e-5 * float(whole.abs().max())
    assert torch.equal(module.separate(mix), torch.cat([part for _, part in module.separate_stretches(mix)], dim=-1))


def test_softmax_stems_add_up_to_the_mix_and_a_mono_mix_gives_mono_stems() -> None:
    module, mix = small().eval(), batch().mix[0]
    assert float((module.separate(mix).sum(0) - mix).abs().max()) < 1e-5
    stems = module.separate(mix[:1])
    assert stems.shape == (4, 1, 2000)
    assert float((stems.sum(0) - mix[:1]).abs().max()) < 1e-5


def test_a_causal_demixer_hears_nothing_beyond_its_latency() -> None:
    module = small(network=NetworkSettings(6, 3, 2, exchange=5, causal=True)).eval()
    assert module.latency_samples == 128 + 64
    assert small().latency_samples is None
    mix = torch.randn(1, 2, 1500, requires_grad=True)
    for at in (640, 672, 767, 801):
        (gradient,) = torch.autograd.grad(module(mix)[..., at].square().sum(), mix)
        assert float(gradient[..., at + 192 :].abs().max()) == 0
        assert float(gradient[..., at].abs().max()) > 0
        before = max(0, at - module.context_samples)
        assert float(gradient[..., :before].abs().sum()) == 0


def test_all_losses_reach_all_weights() -> None:
    module = small(
        masks="sigmoid", wiener="always", losses=DemixerLosses(mask_sum=1.0, waveform=0.1, weighting="blocks")
    )
    terms = module.terms(batch())
    assert set(terms) == {"coefficients", "mask_sum", "waveform", "loss"}
    total = terms["coefficients"] + terms["mask_sum"] + 0.1 * terms["waveform"]
    assert float(terms["loss"].detach()) == pytest.approx(float(total.detach()), rel=1e-6)
    terms["loss"].backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_error_of_coefficients_does_not_depend_on_the_level() -> None:
    module, stems = small(magnitude_power=1.0).eval(), batch()
    module.network.whitening.spread.data.fill_(0.01)
    quiet = StemBatch(stems.targets * 0.01, stems.mix * 0.01, stems.songs)
    loud = float(module.terms(stems)["coefficients"].detach())
    module.network.whitening.spread.data.mul_(0.01)
    assert float(module.terms(quiet)["coefficients"].detach()) == pytest.approx(loud, rel=1e-4)


def test_bfloat16_is_for_the_network_only() -> None:
    mix = batch().mix
    exact = small().eval()(mix).detach()
    rounded = small(performance=Performance("bfloat16", channels_last=True)).eval()(mix).detach()
    assert rounded.dtype == torch.float32
    assert 1e-6 < float((exact - rounded).abs().max()) < 0.05 * float(exact.abs().max())


def test_checkpoints_hold_settings_as_json_and_load_without_code(tmp_path: Path) -> None:
    module = small(targets=("vocals", "rest"), masks="sigmoid", wiener="separating").eval()
    checkpoint: dict = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "demixer.ckpt")
    loaded = load_demixer(tmp_path / "demixer.ckpt")
    assert loaded.settings() == module.settings()
    mix = batch().mix
    assert torch.equal(loaded(mix), module(mix))
    small(targets=("vocals", "rest"), masks="sigmoid").on_load_checkpoint(checkpoint)
    with pytest.raises(ValueError, match=r"model.targets is \['vocals', 'rest'\], the configuration's is"):
        small().on_load_checkpoint(checkpoint)
    name = "network.decoders.0.answer.bias"
    weights = checkpoint["state_dict"]
    for changed, message in (
        ({key: value for key, value in weights.items() if key != name}, f"none of a demixer here: .*Missing.*{name}"),
        ({**weights, name: weights[name][1:]}, f"none of a demixer here: .*size mismatch for {name}"),
        ({**weights, name: weights[name][:1].expand(3000, 3000)}, f"{name} has more values than the file holds"),
        ({**weights, name: weights[name] * float("nan")}, f"finite weights are needed, got NaN or infinity in {name}"),
    ):
        torch.save({**checkpoint, "state_dict": changed}, tmp_path / "other.ckpt")
        with pytest.raises(ValueError, match=message):
            load_demixer(tmp_path / "other.ckpt")
    hostile = {
        "network": {"width": 10**7, "num_layers": 10**12, "band_kernel": [], "exchange": "x"},  # no memory, no time
        "transform": {"num_bands": 10**7, "slice_samples": 10**12, "offset_hz": "x", "raster": None},
    }
    settings = module.settings()
    for group, name, value in ((group, *item) for group, items in hostile.items() for item in items.items()):
        changed = {**settings, group: {**settings[group], name: value}}
        torch.save({**checkpoint, CHECKPOINT_KEY: json.dumps(changed)}, tmp_path / "other.ckpt")
        with pytest.raises(
            ValueError, match=r"other\.ckpt: the checkpoint's weights or settings are none of a demixer"
        ):
            load_demixer(tmp_path / "other.ckpt")
    del checkpoint[CHECKPOINT_KEY]
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other\.ckpt: .*was not made by a Demixer"):
        load_demixer(tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": ()}, "targets: a list of different names"),
        ({"targets": ("vocals", "vocals")}, "targets: a list of different names"),
        ({"targets": ("vocals",)}, "softmax masks of one target"),
        ({"masks": "relu"}, "masks: one of sigmoid, softmax"),
        ({"architecture": "mine"}, "architecture: one of ours, published"),
        ({"magnitude_power": 0.0}, "magnitude_power: above 0"),
        ({"wiener": "yes"}, "wiener: one of never, separating, always"),
        ({"transform": DemixerTransform("erb")}, "transform.scale: one of bark"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        small(**settings)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own modules, which it loads to compile
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, g++, which is not here")
@pytest.mark.parametrize("architecture", ["ours", "published"])
def test_a_compiled_network_gives_the_same_masks(architecture: str) -> None:
    plain = small(architecture=architecture).eval()
    compiled = small(architecture=architecture, performance=Performance(compile=True)).eval()
    for samples in (3000, 5000):  # another number of slices compiles once more, or for any number
        mix = plain.transform(torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(samples)))
        with torch.no_grad():
            difference = (plain.masks(mix).flat - compiled.masks(mix).flat).abs().max()
        assert float(difference) < 1e-6


def test_mixes_of_other_shapes_are_refused() -> None:
    module = small()
    with pytest.raises(ValueError, match=r"mix: \(1 or 2, time\) is needed, got \(6, 900\)"):
        module.separate(torch.zeros(6, 900))
    with pytest.raises(ValueError, match=r"mix: \(batch, 2, time\) is needed"):
        module(torch.zeros(2, 900))
    with pytest.raises(ValueError, match="mix: finite samples"):
        module.separate(torch.full((2, 900), float("nan")))
    assert float(module.separate(torch.zeros(2, 90)).abs().max()) == 0  # silence, shorter than a slice


def test_the_ratio_of_a_song_is_over_all_of_it_and_silence_has_none() -> None:
    target = torch.randn(2, 1000)
    assert song_sdr_db(target, 0.9 * target) == pytest.approx(20.0, abs=1e-4)
    assert song_sdr_db(target, torch.zeros_like(target)) == pytest.approx(0.0, abs=1e-4)
    assert song_sdr_db(target * 1e-5, target) is None
    with pytest.raises(ValueError, match="estimate: "):
        song_sdr_db(target, target[:1])
