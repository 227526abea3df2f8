"""A stream in chunks of any size equals the offline result, late by the stated latency and by no more."""

import pytest
import torch

from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings, StreamingDemixer

SLICE, HOP, LATENCY = 256, 128, 192


def causal(**settings) -> Demixer:
    torch.manual_seed(0)
    transform = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=SLICE, sample_rate=8000)
    network = NetworkSettings(6, 3, 2, exchange=5, causal=True)
    demixer = Demixer(**({"transform": transform, "network": network} | settings)).train()
    for parameter in demixer.network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    for _ in range(3):
        demixer(torch.randn(1, 2, 2000))  # running statistics of the norms
    return demixer.eval()


@pytest.fixture(scope="module")
def demixer() -> Demixer:
    return causal()


def streamed(stream: StreamingDemixer, mix: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    out, start = [], 0
    while start < mix.shape[-1]:
        size = sizes[len(out) % len(sizes)]
        chunk = mix[:, start : start + size]
        out.append(stream.process(chunk))
        assert out[-1].shape[-1] == chunk.shape[-1]
        start += size
    return torch.cat([*out, stream.flush()], dim=-1)


@pytest.mark.parametrize("sizes", [[HOP], [1], [SLICE], [17, 0, 333, 5], [100000]], ids=str)
@pytest.mark.parametrize(("channels", "samples"), [(2, 1300), (1, 1024), (2, 50)])
def test_chunks_of_any_size_give_the_offline_result_late_by_the_latency(demixer, sizes, channels, samples) -> None:
    mix = torch.randn(channels, samples, generator=torch.Generator().manual_seed(2))
    stream = StreamingDemixer(demixer)
    assert stream.latency_samples == LATENCY
    whole = demixer.separate(mix)
    for _ in range(2):  # the second time after the reset of `flush`
        stems = streamed(stream, mix, sizes)
        assert stems.shape == (4, channels, samples + LATENCY)
        assert not stems[..., :LATENCY].any()
        assert float((stems[..., LATENCY:] - whole).abs().max()) < 1e-5 * float(whole.abs().max())


def test_more_slices_than_are_computed_at_a_time(demixer) -> None:
    mix = torch.randn(2, 50 * HOP + 3)
    stems = streamed(StreamingDemixer(demixer), mix, [10**6])[..., LATENCY:]
    assert float((stems - demixer.separate(mix)).abs().max()) < 1e-5


def test_the_latency_is_what_an_output_sample_waits_for_and_no_less(demixer) -> None:
    mix = torch.randn(1, 2, 1500, requires_grad=True)
    margin = (HOP - HOP // 2) // 2
    for at in range(5 * HOP, 6 * HOP, 16):
        (gradient,) = torch.autograd.grad(demixer(mix)[0, :, :, at].square().sum(), mix)
        assert not gradient[..., at + LATENCY :].any()
        if at == 5 * HOP + margin:  # the first sample to which the next slice adds
            assert gradient[..., at + LATENCY - 8 : at + LATENCY].any()


def test_memory_does_not_grow_with_the_stream(demixer) -> None:
    stream = StreamingDemixer(demixer)

    def held() -> int:
        tensors = [value for value in vars(stream).values() if isinstance(value, torch.Tensor)] + stream._past
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    most = []
    for _ in range(2):
        for _ in range(40):
            stream.process(torch.randn(2, 100))
            most.append(held())
    assert max(most[40:]) <= max(most[:40])


def test_what_cannot_be_streamed_is_refused(demixer) -> None:
    with pytest.raises(ValueError, match=r"a causal network is needed for a stream; this one looks ahead by 0.06 s"):
        StreamingDemixer(Demixer(transform=demixer.transform_settings, network=NetworkSettings(6, 3, 2)))
    with pytest.raises(ValueError, match="no Wiener filter is possible in a stream"):
        StreamingDemixer(causal(wiener="separating"))
    stream = StreamingDemixer(demixer)
    stream.process(torch.zeros(1, 10))
    with pytest.raises(ValueError, match=r"chunk: \(1 channels, samples\) is needed, got \(2, 10\)"):
        stream.process(torch.zeros(2, 10))
    with pytest.raises(ValueError, match="chunk: finite samples"):
        stream.process(torch.full((1, 10), torch.inf))
    with pytest.raises(ValueError, match="a causal one is needed to answer slice by slice"):
        Demixer(transform=demixer.transform_settings).network.step(None, [])
