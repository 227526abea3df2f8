"""Separation of a stream: chunks of any size in, chunks of the same size out, late by a stated number of samples."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from mixgraph.demixing.masks import apply_masks
from mixgraph.demixing.module import Demixer
from mixgraph.demixing.network import DemixingNetwork
from mixgraph.dsp.slicqt import RaggedSpectrum

_MOST_SLICES = 32  # that are computed at a time, however long a chunk


class StreamingDemixer:
    """Takes a stream apart, chunk by chunk; memory does not grow with the stream.

    All outputs, one after the other, are `latency_samples` zeros and then what `Demixer.separate` gives for all inputs.
    A slice is computed when its last sample arrives, and only once: the layers keep what they need of the slices
    before. Chunks may differ in size.

    >>> stream = StreamingDemixer(load_demixer("demixer_realtime.ckpt"))  # doctest: +SKIP
    >>> stems = [stream.process(chunk) for chunk in chunks]  # doctest: +SKIP
    >>> stems.append(stream.flush())  # doctest: +SKIP

    Args:
        demixer: one with a causal network and without a Wiener filter, whose statistics are of a whole signal.

    Raises:
        ValueError: another demixer.
    """

    def __init__(self, demixer: Demixer) -> None:
        latency = demixer.latency_samples
        if latency is None or not isinstance(demixer.network, DemixingNetwork):
            raise ValueError(
                "demixer: a causal network is needed for a stream; this one looks ahead by "
                f"{demixer.context_samples / demixer.sample_rate:.2f} s. HINT: train configs/demixer.yaml with "
                "model.network.causal=true"
            )
        if demixer.wiener != "never":
            raise ValueError(
                f"demixer: no Wiener filter is possible in a stream, got wiener={demixer.wiener!r}: its statistics are "
                "of a whole signal. HINT: train with model.wiener=never"
            )
        self.demixer, self.network, self.latency_samples = demixer.eval(), demixer.network, latency
        transform = demixer.transform
        self._hop, self._size = transform.hop_samples, transform.slice_samples
        self._margin = (self._hop - transform.layout.transition) // 2  # zeros at both ends of a slice's window
        self.reset()

    def reset(self) -> None:
        """Forgets the stream: the next chunk is the beginning of another one."""
        demixer = self.demixer
        window, num_targets = demixer.transform.window, len(demixer.targets)
        channels = demixer.channels
        self._window = window.to(torch.float32)
        self._past = self.network.first_past()
        self._input = self._window.new_zeros(channels, self._hop)  # from the beginning of the next slice on
        self._tail = self._window.new_zeros(num_targets, channels, self._hop)  # the second half of the last slice
        self._before = self._hop - self._margin  # samples of the first slice that are before the stream
        self._waiting = self._window.new_zeros(num_targets, channels, self.latency_samples)
        self._channels: int | None = None

    @torch.inference_mode()
    def process(self, chunk: Tensor) -> Tensor:
        """Takes the next samples, (1 or 2 channels, samples), and returns as many: (targets, channels, samples).

        They are those of the mix `latency_samples` before. A stream of one channel gives one channel.

        Raises:
            ValueError: another shape, another number of channels than before, or values that are not finite; the stream
                goes on as if the chunk had not been there.
        """
        allowed = (1, self.demixer.channels) if self._channels is None else (self._channels,)
        if chunk.dim() != 2 or chunk.shape[0] not in allowed:
            wanted = " or ".join(map(str, allowed))
            raise ValueError(f"chunk: ({wanted} channels, samples) is needed, got {tuple(chunk.shape)}")
        if not bool(chunk.isfinite().all()):
            raise ValueError("chunk: finite samples are needed, got NaN or infinity")
        self._channels = chunk.shape[0]
        stereo = chunk.to(self._window).expand(self.demixer.channels, -1)
        out = [self._taken(part) for part in stereo.split(_MOST_SLICES * self._hop, dim=-1)]
        stems = torch.cat(out, dim=-1)
        return (stems.mean(1, keepdim=True) if self._channels == 1 else stems).to(chunk.device)

    def flush(self) -> Tensor:
        """Ends the stream: returns its last `latency_samples` samples, (targets, channels, samples), and resets."""
        rest = self.process(self._window.new_zeros(self._channels or self.demixer.channels, self.latency_samples))
        self.reset()
        return rest

    def _taken(self, chunk: Tensor) -> Tensor:
        self._input = torch.cat((self._input, chunk), dim=-1)
        ready = (self._input.shape[-1] + self._margin - self._size) // self._hop + 1
        if ready > 0:
            slices = pad(self._input, (0, self._margin)).unfold(-1, self._size, self._hop)[:, :ready]
            stems = self._separated(slices)
            self._input = self._input[:, ready * self._hop :].clone()
            self._waiting = torch.cat((self._waiting, self._joined(stems)), dim=-1)
        out = self._waiting[..., : chunk.shape[-1]]
        self._waiting = self._waiting[..., chunk.shape[-1] :].clone()
        return out

    def _separated(self, slices: Tensor) -> Tensor:
        """Slices of the mix, (channels, slices, N), to those of the targets, (targets, channels, slices, N)."""
        demixer, bands = self.demixer, self.demixer.transform.bands
        mix = RaggedSpectrum(bands.analyse(slices * self._window).unsqueeze(0), demixer.transform.layout)
        estimates = apply_masks(demixer.masks_by(self._logits, mix), mix)
        return bands.synthesise(estimates.flat[0]).mul_(self._window)

    def _logits(self, seen: Tensor) -> Tensor:
        logits, self._past = self.network.step(RaggedSpectrum(seen, self.demixer.transform.layout), self._past)
        return logits.flat

    def _joined(self, slices: Tensor) -> Tensor:
        """Adds overlapping slices; returns the samples to which no later slice adds anything."""
        hop = self._hop
        blocks = slices.new_zeros(*slices.shape[:2], slices.shape[2] + 1, hop)
        blocks[:, :, 0] = self._tail
        blocks[:, :, :-1] += slices[..., :hop]
        blocks[:, :, 1:] += slices[..., hop:]
        self._tail = blocks[:, :, -1].clone()
        done = blocks.flatten(-2)[..., self._margin : slices.shape[2] * hop + self._margin]
        before = min(self._before, done.shape[-1])
        self._before -= before
        return done[..., before:]
