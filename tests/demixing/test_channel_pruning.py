"""Pruning of a demixer: smaller networks that answer the same, exact counts, the same run in one piece or resumed."""

import json
import sys
from pathlib import Path

import pytest
import torch

from mixgraph import __main__ as entry
from mixgraph.checkpoints import check_checkpoint
from mixgraph.cli.prune_demixer import main
from mixgraph.demixing import (
    ChannelPruning,
    Demixer,
    DemixerTransform,
    NetworkSettings,
    PruningSettings,
    PublishedSettings,
    StreamingDemixer,
    load_demixer,
    save_demixer,
)
from mixgraph.demixing.batches import StemBatch
from mixgraph.demixing.channels import (
    KeptChannels,
    channel_gates,
    choose_channels,
    count_parameters,
    group_widths,
)
from mixgraph.demixing.pruning import without_channels
from mixgraph.system.locks import locked
from tests.demixing.conftest import RATE

TRANSFORM = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE)
SMALL = NetworkSettings(width=8, target_width=4, num_layers=2, exchange=6)


def demixer(**settings) -> Demixer:
    torch.manual_seed(0)
    module = Demixer(**({"transform": TRANSFORM, "network": SMALL} | settings)).eval()
    for parameter in module.network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    for name, buffer in module.network.named_buffers():
        if name.endswith("running_mean"):
            buffer += torch.randn(buffer.shape)
        elif name.endswith("running_var"):
            buffer *= 0.5 + torch.rand(buffer.shape)
    return module


def batch(step: int) -> StemBatch:
    targets = 0.1 * torch.randn(2, 4, 2, 1200, generator=torch.Generator().manual_seed(step % 10**6))
    return StemBatch(targets, targets.sum(1), ())


def count(module: Demixer) -> int:
    return sum(parameter.numel() for parameter in module.network.parameters())


def random_channels(module: Demixer) -> KeptChannels:
    """About half of all channels, other ones of every target."""
    widths = group_widths(module.network.settings, len(module.network.layout.blocks))
    kept = {}
    for number, (name, width) in enumerate(widths.items()):
        rows = len(module.targets) if name.startswith("target") else 1
        keep = max(1, width // 2 + number % 2)
        chosen = torch.stack([torch.randperm(width)[:keep].sort().values for _ in range(rows)])
        kept[name] = chosen if rows > 1 else chosen[0]
    return KeptChannels(kept)


def silence_others(module: Demixer, kept: KeptChannels) -> None:
    """Sets the weights that read the other channels to zero."""
    network, groups = module.network, kept.groups

    def zero_inputs(weight: torch.Tensor, keep: torch.Tensor) -> None:
        others = torch.ones(weight.shape[1], dtype=torch.bool)
        others[keep] = False
        weight[:, others] = 0

    with torch.no_grad():
        for layer, parts in enumerate(network.layers):
            for block, part in enumerate(parts):
                zero_inputs(part.look.weight, groups["code"])
                zero_inputs(part.mix.weight, groups[f"inner/{layer}/{block}"])
        if network.exchange is not None:
            zero_inputs(network.exchange.mix.weight, groups["code"])
            zero_inputs(network.exchange.spread.weight, groups["exchange"])
        for block, decoder in enumerate(network.decoders):
            zero_inputs(decoder.split.weight, groups["code"])
            of_targets = decoder.answer.weight.unflatten(0, (len(module.targets), -1))
            for rows, keep in zip(of_targets, groups[f"target/{block}"], strict=True):
                zero_inputs(rows, keep)


@pytest.mark.parametrize(
    "network",
    [SMALL, NetworkSettings(8, 4, 1, exchange=0), NetworkSettings(7, 3, 2, exchange=5, causal=True)],
    ids=["exchange", "no exchange", "causal"],
)
def test_channels_that_nothing_reads_are_removed_without_a_change(network: NetworkSettings, tmp_path: Path) -> None:
    module = demixer(network=network)
    kept = random_channels(module)
    silence_others(module, kept)
    smaller = without_channels(module, kept)
    assert count(smaller) < 0.75 * count(module)
    mix = torch.randn(2, 3000)
    expected = module.separate(mix)
    assert float((smaller.separate(mix) - expected).abs().max()) < 1e-5
    # Twice, and from a file.
    again = KeptChannels({name: torch.arange(rows.shape[-1]).expand_as(rows) for name, rows in kept.groups.items()})
    save_demixer(without_channels(smaller, again), tmp_path / "smaller.ckpt")
    loaded = load_demixer(tmp_path / "smaller.ckpt")
    assert torch.equal(loaded.separate(mix), smaller.separate(mix))
    assert loaded.network_settings == smaller.network_settings
    assert loaded.settings() == json.loads(json.dumps(loaded.settings()))
    if network.causal:
        stream = StreamingDemixer(loaded)
        stems = torch.cat([stream.process(mix), stream.flush()], dim=-1)[..., stream.latency_samples :]
        assert float((stems - expected).abs().max()) < 1e-5


@pytest.mark.parametrize("exchange", [6, 0])
def test_parameters_are_counted_without_making_the_network(exchange: int) -> None:
    module = demixer(network=NetworkSettings(8, 4, 2, band_kernel=5, exchange=exchange))
    smaller = without_channels(module, random_channels(module))
    for each in (module, smaller, demixer(transform=DemixerTransform(), network=NetworkSettings())):
        layout, settings = each.network.layout, each.network_settings
        widths = group_widths(settings, len(layout.blocks))
        assert count_parameters(widths, layout, 4, 2, settings.band_kernel) == count(each)


def test_a_gate_is_the_derivative_by_the_factor_of_a_channel() -> None:
    module = demixer()
    module.terms(batch(0))["loss"].backward()
    gates = channel_gates(module.network)
    step = 1e-2

    def loss(change: float) -> float:
        other = demixer()
        with torch.no_grad():
            for parts in other.network.layers:
                for part in parts:
                    part.look.weight[:, 3] *= 1 + change
            other.network.exchange.mix.weight[:, 3] *= 1 + change
            for decoder in other.network.decoders:
                decoder.split.weight[:, 3] *= 1 + change
        return float(other.terms(batch(0))["loss"].detach())

    slope = (loss(step) - loss(-step)) / (2 * step)
    assert float(gates["code"][3]) == pytest.approx(slope, rel=0.02, abs=1e-5)

    def target_loss(change: float) -> float:
        other = demixer()
        with torch.no_grad():
            other.network.decoders[1].answer.weight.unflatten(0, (4, -1))[2, :, 1] *= 1 + change
        return float(other.terms(batch(0))["loss"].detach())

    slope = (target_loss(step) - target_loss(-step)) / (2 * step)
    assert float(gates["target/1"][2, 1]) == pytest.approx(slope, rel=0.02, abs=1e-5)


def test_the_least_important_channels_go_and_no_more_than_needed() -> None:
    module = demixer()
    blocks = len(module.network.layout.blocks)
    widths = group_widths(SMALL, blocks)
    importances = {
        name: torch.rand((4, width) if name.startswith("target") else (width,)) for name, width in widths.items()
    }
    importances["code"][5] = 0
    importances["target/0"][torch.arange(4), torch.arange(4)] = 0  # another one of every target
    most = round(0.7 * count(module))
    kept = choose_channels(importances, module.network, most, dict.fromkeys(widths, 1))
    smaller = without_channels(module, kept)
    slack = count(module) - min(  # the most that one channel takes
        count_parameters({**widths, name: width - 1}, module.network.layout, 4, 2, 3) for name, width in widths.items()
    )
    assert most - slack < count(smaller) <= most
    assert 5 not in kept.groups["code"].tolist()
    assert all(target not in rows.tolist() for target, rows in enumerate(kept.groups["target/0"]))
    with pytest.raises(ValueError, match=r"share: at least \d+ parameters stay, got 10 at most"):
        choose_channels(importances, module.network, 10, dict.fromkeys(widths, 1))


@pytest.mark.parametrize("steps", [1, 8, 39, 40, 500])
def test_pruning_while_training_waits_for_gradients(steps: int) -> None:
    shares = PruningSettings(0.5, "while_training", steps=steps).shares()
    assert min(shares) >= 1  # at step 0 no channel would matter more than another
    assert max(shares) == max(1, steps // 2)
    assert shares[max(shares)] == 0.5
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize(
    "strategy",
    [*(pytest.param(name, marks=pytest.mark.long) for name in ("once", "in_turns")), "while_training"],
)
def test_a_run_that_was_stopped_ends_as_one_in_one_piece(strategy: str, tmp_path: Path) -> None:
    module = demixer()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    settings = PruningSettings(0.6, strategy, steps=8, turns=2, importance_batches=2, learning_rate=1e-3)  # type: ignore[arg-type]
    whole = ChannelPruning(module, settings, batch, {"songs": ["a"]})
    losses, counts = [], []
    while (loss := whole.advance()) is not None:
        losses.append(loss)
        counts.append(whole.num_parameters)
        if whole.step == 3:
            (tmp_path / "state").write_bytes(whole.state())
    assert counts == sorted(counts, reverse=True)  # what is gone never comes back
    assert counts[-1] <= 0.6 * count(module) < 1.5 * counts[-1]
    assert len(set(counts)) >= {"once": 1, "in_turns": 2, "while_training": 3}[strategy]
    resumed = ChannelPruning(module, settings, batch, {"songs": ["a"]})
    resumed.resume(tmp_path / "state")
    assert [resumed.advance() for _ in range(6)] == [*losses[3:], None]
    states = [run.demixer.state_dict() for run in (whole, resumed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    load_demixer(tmp_path / "state")  # is one of a demixer, too
    with pytest.raises(ValueError, match=r"holds another run, its about {'songs': \['a'\]}"):
        ChannelPruning(module, settings, batch).resume(tmp_path / "state")


def test_training_without_pruning_is_adamw() -> None:
    settings = PruningSettings(1.0, "once", steps=5, learning_rate=2e-3)
    run = ChannelPruning(demixer(), settings, batch)
    other = demixer().train()
    optimizer = torch.optim.AdamW(other.network.parameters(), lr=1.0, weight_decay=1e-5)
    for step in range(5):
        cosine = 0.01 + 0.99 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / 5)))
        optimizer.param_groups[0]["lr"] = 2e-3 * (step + 1) / 20 * float(cosine)
        optimizer.zero_grad()
        other.terms(batch(step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(other.network.parameters(), 5.0)
        optimizer.step()
        run.advance()
    assert count(run.demixer) == count(other)
    # Not biases before a normalisation: their gradients are of rounding errors alone, which AdamW scales up.
    weights = [name for name, _ in other.network.named_parameters() if name.endswith("weight")]
    for name in weights:
        assert torch.allclose(run.network.get_parameter(name), other.network.get_parameter(name), atol=1e-5), name


def test_what_cannot_be_pruned_says_why(tmp_path: Path) -> None:
    for settings, message in (
        ({"share": 0.0}, "share: above 0 and at most 1, got 0"),
        ({"strategy": "often"}, "strategy: one of once, in_turns, while_training, got 'often'"),
        ({"steps": 0}, "steps: at least 1, or 0 for once"),
        ({"turns": 0}, "turns: at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate: above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            PruningSettings(**settings)
    published = demixer(architecture="published", published=PublishedSettings(2, 2))
    with pytest.raises(ValueError, match="channels of our network can be pruned, got the published one"):
        ChannelPruning(published, PruningSettings(), batch)
    for strategy in ("once", "in_turns", "while_training"):
        with pytest.raises(ValueError, match=r"share: at least \d+ parameters stay, got \d+ at most"):
            ChannelPruning(demixer(), PruningSettings(0.05, strategy), batch)  # before its first step
    with pytest.raises(ValueError, match="inner_widths: those of 3 layers, got 1"):
        NetworkSettings(inner_widths=((2, 2),))
    with pytest.raises(ValueError, match=r"target_widths: those of \d blocks, got 1"):
        demixer(network=NetworkSettings(8, 4, 2, exchange=6, target_widths=(2,)))
    save_demixer(demixer(), tmp_path / "demixer.ckpt")
    with pytest.raises(ValueError, match="holds weights and no state of a training"):
        check_checkpoint(tmp_path / "demixer.ckpt")  # of `fit --ckpt_path`
    with pytest.raises(ValueError, match="the state of a pruning is needed"):
        ChannelPruning(demixer(), PruningSettings(), batch).resume(tmp_path / "demixer.ckpt")

    def silent_nan(step: int) -> StemBatch:
        stems = batch(step)
        return StemBatch(stems.targets * float("nan"), stems.mix, ())

    with pytest.raises(FloatingPointError, match="training broke down at step 1"):
        ChannelPruning(demixer(), PruningSettings(1.0), silent_nan).advance()


def run_command(monkeypatch: pytest.MonkeyPatch, *words: object, says: str | None = None) -> None:
    monkeypatch.setattr(sys, "argv", ["mixgraph", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 0 if says is None else says in str(end.value.code), end.value.code


@pytest.mark.long
def test_the_command_writes_a_checkpoint_that_all_commands_take(
    stem_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = demixer()
    save_demixer(module, tmp_path / "whole.ckpt")
    out, cache = tmp_path / "small.ckpt", ("--cache-dir", tmp_path / "cache")
    words = ("prune-demixer", tmp_path / "whole.ckpt", stem_root, "--share", "0.5", "--steps", "4", "--turns", "2")
    words = (*words, "--importance-batches", "1", "--batch-size", "1", "--chunk-seconds", "0.5", "--left-out", "song1")
    run_command(monkeypatch, *words, "--out", out, *cache)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt*")) == ["small.ckpt", "whole.ckpt"]
    smaller = load_demixer(out)
    text = capsys.readouterr().out
    assert f"{count(module):,} parameters became {count(smaller):,}" in text
    assert "in the middle of song1, 30 s at most: " in text
    assert count(smaller) <= count(module) / 2
    mix = stem_root / "test" / "unseen" / "mixture.wav"
    run_command(monkeypatch, "demix", out, mix, "--out", tmp_path / "stems")
    assert (tmp_path / "stems" / "vocals.wav").is_file()
    run_command(monkeypatch, "evaluate-demixer", out, stem_root / "test", "--no-ceilings", *cache)
    run_command(monkeypatch, *words, "--out", out, *cache, says="exists and is kept")
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    run_command(monkeypatch, "export-onnx", out, "--target", "masks", "--out", tmp_path / "masks.onnx")


def test_two_processes_do_not_prune_to_one_place(tmp_path) -> None:
    with (
        locked(tmp_path / ".small.ckpt.lock", lambda holder: holder),
        pytest.raises(ValueError, match=r"out: .*small\.ckpt is in use by process \d+"),
    ):
        main([str(tmp_path / "none.ckpt"), str(tmp_path), "--out", str(tmp_path / "small.ckpt")])
