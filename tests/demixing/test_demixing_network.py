"""Networks: their size, their causality by gradient, their independence of each other."""

from dataclasses import replace
from itertools import groupby

import pytest
import torch

from mixgraph.demixing import DemixingNetwork, NetworkSettings, PublishedNetwork, apply_masks, masks_from_logits
from mixgraph.dsp.slicqt import Block, Scale, SliCQT, make_scale

RATE = 8000
SMALL = {"width": 6, "target_width": 3, "num_layers": 2, "exchange": 5}


def small_transform() -> SliCQT:
    return SliCQT(make_scale("bark", 12, 200.0, 3500.0), RATE, 256)


def bark_262(raster: str, slice_samples: int) -> SliCQT:
    centres = make_scale("bark", 262, 32.9, 22050.0).centres_hz[:-1]
    return SliCQT(Scale("bark", centres), 44100, slice_samples, raster=raster)


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def published_blocks() -> tuple[Block, ...]:
    """The source's 70 blocks at 262 Bark bands: sizes are widths rounded to the nearest multiple of 4, at least 16."""
    centres = (0.0, *make_scale("bark", 262, 32.9, 22050.0).centres_hz)
    places = [hertz * 18060 / 44100 for hertz in (-centres[1], *centres, 2 * 22050.0 - centres[-2])]
    sizes = [max(16, 4 * round((high - low) / 4)) for low, high in zip(places, places[2:], strict=False)]
    blocks, first = [], 0
    for size, members in groupby(sizes):
        blocks.append(Block(first, num_bands := len(list(members)), size))
        first += num_bands
    return tuple(blocks)


def test_the_published_layout_has_15_million_parameters_and_ours_at_most_half() -> None:
    own_layout = bark_262("ragged", 18060).layout
    blocks = published_blocks()
    assert [(block.num_bands, block.size) for block in blocks[:4]] == [(1, 28), (86, 16), (14, 20), (11, 24)]
    whitening = 2 * own_layout.num_bands
    assert count(PublishedNetwork(replace(own_layout, blocks=blocks), 4)) - whitening == 15_009_920
    # On our ragged raster, which never rounds a size down and has 69 blocks:
    published = count(PublishedNetwork(own_layout, 4))
    assert published == pytest.approx(15.0e6, rel=0.03)
    assert count(DemixingNetwork(bark_262("power_of_two", 16384).layout, 4)) < published / 2


@pytest.mark.parametrize("causal", [True, False])
def test_a_causal_network_has_the_latency_of_a_slice(causal: bool) -> None:
    torch.manual_seed(0)
    transform = small_transform()
    network = DemixingNetwork(transform.layout, 3, 2, NetworkSettings(**SMALL, causal=causal)).eval()
    mix = torch.randn(1, 2, 3000, requires_grad=True)
    spectrum = transform(mix)
    masks = masks_from_logits(network(spectrum.magnitude()), "softmax")
    stems = transform.inverse(apply_masks(masks, spectrum), 3000)
    at = 1280  # the first sample of a hop: the one that looks ahead furthest
    (gradient,) = torch.autograd.grad(stems[..., at].sum(), mix)
    ahead = gradient[..., at + transform.slice_samples :].abs().max()
    assert (float(ahead) == 0) == causal
    behind = gradient[..., : at + 1].abs().max()
    assert float(behind) > 0


def test_masks_depend_on_the_stated_context_only() -> None:
    torch.manual_seed(0)
    transform = small_transform()
    for causal, dilated in ((True, True), (False, True), (False, False)):
        settings = NetworkSettings(**SMALL, causal=causal, dilated=dilated)
        network = DemixingNetwork(transform.layout, 2, 1, settings).eval()
        magnitude = transform(torch.randn(1, 1, 5000)).magnitude()
        changed = magnitude.flat.clone()
        changed[:, :, 20] += 1
        difference = (network(type(magnitude)(changed, magnitude.layout)).flat - network(magnitude).flat).abs()
        moved = difference.amax(dim=(0, 1, 2, 4)).nonzero().flatten().tolist()
        reach = settings.context_slices
        assert moved[0] == (20 if causal else 20 - reach)
        assert moved[-1] == 20 + reach


def test_without_the_exchange_blocks_do_not_know_each_other() -> None:
    torch.manual_seed(0)
    transform = small_transform()
    spectrum = transform(torch.randn(1, 1, 2000)).magnitude()
    loud = type(spectrum)(spectrum.flat.clone(), spectrum.layout)
    loud.blocks[0].mul_(3)
    for exchange in (0, 5):
        network = DemixingNetwork(transform.layout, 2, 1, NetworkSettings(**SMALL | {"exchange": exchange})).eval()
        before, after = network(spectrum).blocks[-1], network(loud).blocks[-1]
        assert torch.equal(before, after) == (exchange == 0)


def test_the_published_layout_answers_for_every_coefficient_of_short_and_long_mixes() -> None:
    transform = SliCQT(make_scale("bark", 24, 200.0, 3500.0), RATE, 512, raster="ragged")
    network = PublishedNetwork(transform.layout, 2, 2, 4, 5).eval()
    for samples in (100, 3000):
        magnitude = transform(torch.randn(1, 2, samples)).magnitude()
        assert network(magnitude).flat.shape == (1, 2, *magnitude.flat.shape[1:])


def test_whitened_training_magnitudes_have_mean_0_and_spread_1() -> None:
    torch.manual_seed(0)
    transform = small_transform()
    network = DemixingNetwork(transform.layout, 2, 1, NetworkSettings(**SMALL))
    parts = [transform(torch.randn(2, 1, 3000) * level).magnitude() for level in (1.0, 0.3)]
    network.whitening.fit(parts)
    for blocks in zip(*(network.whitening(part) for part in parts), strict=True):
        values = torch.cat([block.movedim(-2, 0).flatten(1) for block in blocks], dim=1)
        torch.testing.assert_close(values.mean(1), torch.zeros(len(values)), atol=1e-4, rtol=0)
        torch.testing.assert_close(values.std(1, correction=0), torch.ones(len(values)), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="at least one mix with sound"):
        network.whitening.fit([transform(torch.zeros(1, 1, 500)).magnitude()])


@pytest.mark.parametrize(("change", "message"), [({"width": 0}, "width: at least 1"), ({"band_kernel": 2}, "odd")])
def test_settings_out_of_range_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkSettings(**change)
