"""Stretches of songs, and levels of whole songs, which are measured a part at a time."""

import torch

from mixgraph.report import closeness, findings
from mixgraph.songs import clips


def test_what_is_measured_a_part_at_a_time_is_that_of_the_whole(monkeypatch) -> None:
    mix = torch.randn(2, 2003, generator=torch.Generator().manual_seed(0))
    mix[:, 700:900] *= 3
    whole = clips.loudest_start(mix, 150), closeness.power(mix), findings.window_powers(mix, 50)
    assert 700 <= whole[0] <= 750
    assert len(whole[2]) == 41
    for module in (clips, closeness):
        monkeypatch.setattr(module, "_AT_ONCE", 97)
    monkeypatch.setattr(findings, "_WINDOWS_AT_ONCE", 3)
    parts = clips.loudest_start(mix, 150), closeness.power(mix), findings.window_powers(mix, 50)
    assert parts[0] == whole[0]
    torch.testing.assert_close(parts[1:], whole[1:], rtol=1e-14, atol=0.0)
    assert clips.loudest_start(torch.ones(2, 500), 100) == 0  # the first of equal ones
