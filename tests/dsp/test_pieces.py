"""Batches in pieces."""

import torch

from mixgraph.dsp.pieces import pieces


def test_a_few_rows_at_a_time_on_a_cpu_and_all_at_once_elsewhere():
    rows, others = torch.arange(5), torch.arange(10).view(5, 2)
    found = [(a.tolist(), b.tolist()) for a, b in pieces(2, rows, others)]
    assert found == [([0, 1], [[0, 1], [2, 3]]), ([2, 3], [[4, 5], [6, 7]]), ([4], [[8, 9]])]
    assert [part.shape for (part,) in pieces(2, torch.empty(5, 3, device="meta"))] == [(5, 3)]
