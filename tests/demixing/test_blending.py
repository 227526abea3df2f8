"""Blending: a target by another checkpoint, all others untouched."""

import pytest
import torch

from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings, blend

TRANSFORM = DemixerTransform(num_bands=5, low_hz=600.0, slice_samples=256, sample_rate=8000)


def make(seed: int, **settings) -> Demixer:
    torch.manual_seed(seed)
    defaults = {"transform": TRANSFORM, "network": NetworkSettings(6, 3, 1, exchange=5), "masks": "sigmoid"}
    return Demixer(**(defaults | settings)).eval()


def test_one_target_is_that_of_the_other_checkpoint_and_the_rest_is_untouched() -> None:
    first, second = make(1), make(2, targets=("bass", "vocals"), network=NetworkSettings(4, 2, 1, exchange=0))
    mix = torch.randn(2, 3000)
    blended = blend(first, {"vocals": second})
    stems, whole = blended.separate(mix), first.separate(mix)
    assert torch.equal(stems[1:], whole[1:])
    assert torch.equal(stems[0], second.separate(mix)[1])
    assert not torch.equal(stems[0], whole[0])
    assert torch.equal(first.separate(mix), whole)  # it is as it was


def test_checkpoints_that_do_not_fit_are_refused() -> None:
    first = make(1)
    with pytest.raises(ValueError, match=r"blend: a target among .* got 'vocal'. HINT: did you mean vocals"):
        blend(first, {"vocal": make(2)})
    with pytest.raises(ValueError, match=r"needs the same model.masks, sigmoid, got softmax"):
        blend(first, {"vocals": make(2, masks="softmax")})
    with pytest.raises(ValueError, match=r"needs to be not causal as the first, got causal"):
        blend(first, {"vocals": make(2, network=NetworkSettings(6, 3, 1, exchange=5, causal=True))})
    with pytest.raises(ValueError, match=r"a network that sees 256 samples around its own, got 512"):
        blend(first, {"vocals": make(2, network=NetworkSettings(6, 3, 2, exchange=5))})
