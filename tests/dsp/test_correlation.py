"""Cross spectra in blocks equal the correlation by its definition."""

import pytest
import torch

from mixgraph.dsp.correlation import cross_spectrum


@pytest.mark.parametrize(("length", "max_lag"), [(1, 1), (50, 10), (1000, 7), (1000, 400)])
def test_correlation_is_that_of_the_definition(length, max_lag) -> None:
    generator = torch.Generator().manual_seed(length)
    first, second = torch.rand(2, 2, length, generator=generator, dtype=torch.float64) - 0.5
    cross, first_power, second_power, n_fft = cross_spectrum(first, second, max_lag)
    found = torch.fft.irfft(cross, n=n_fft)[:, : 2 * max_lag + 1]
    for lag in {-max_lag, -1, 0, 1, max_lag}:
        n = torch.arange(length)
        n = n[(n + lag >= 0) & (n + lag < length)]
        expected = (second[:, n] * first[:, n + lag]).sum(dim=-1)
        torch.testing.assert_close(found[:, lag + max_lag], expected, atol=1e-12, rtol=0)
    assert first_power.shape == second_power.shape == cross.shape == (2, n_fft // 2 + 1)
    # By Parseval the power of the second is that of its samples; blocks of the first overlap.
    whole = torch.cat((second_power, second_power[:, 1:-1]), dim=1).sum(dim=1) / n_fft
    torch.testing.assert_close(whole, second.square().sum(dim=1))
    assert (first_power >= 0).all()
