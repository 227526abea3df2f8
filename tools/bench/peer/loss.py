"""The peer's match loss, computed the plain way: every signal filtered and transformed at every call."""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import torch
import torch.nn.functional as F
from auraloss.perceptual import FIRFilter
from torch import Tensor, nn

SAMPLE_RATE = 30000
WARM_UP = 30000
RESOLUTIONS = ((512, 128), (1024, 256), (4096, 1024))  # FFT and window size, hop
_NUM_MELS = 96
_NUM_TAPS = 101
_POWER_FLOOR = 1e-4


@dataclass(frozen=True)
class PeerTerms:
    """The loss of one clip: `full`, and the mean of left's and right's, mid's and side's."""

    full: Tensor
    lr: Tensor
    mid: Tensor
    side: Tensor


class PeerLoss(nn.Module):
    """Spectral convergence, over the prediction's norm, and log distance of mel magnitudes of l, r, l + r and l - r."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            design = FIRFilter(filter_type="aw", fs=SAMPLE_RATE, ntaps=_NUM_TAPS)
        self.register_buffer("taps", design.fir.weight.detach().view(1, 1, -1).clone())
        for index, (n_fft, _) in enumerate(RESOLUTIONS):
            mel = torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=_NUM_MELS))
            self.register_buffer(f"mel{index}", mel.float())
            self.register_buffer(f"window{index}", torch.hann_window(n_fft))

    def forward(self, prediction: Tensor, target: Tensor) -> PeerTerms:
        """Compares two clips, (1, 2, L) each; their first second is dropped."""
        signals = torch.cat([_four(x[0, :, WARM_UP:]) for x in (prediction, target)])
        signals = F.conv1d(signals.unsqueeze(1), self.get_buffer("taps"), padding=_NUM_TAPS // 2).squeeze(1)
        losses = torch.stack([self._resolution(signals, index) for index in range(len(RESOLUTIONS))])
        left, right, mid, side = losses.mean(dim=0)
        return PeerTerms((left + right + mid + side) / 4, (left + right) / 2, mid, side)

    def _resolution(self, signals: Tensor, index: int) -> Tensor:
        n_fft, hop = RESOLUTIONS[index]
        window = self.get_buffer(f"window{index}")
        spectra = torch.stft(signals, n_fft, hop, n_fft, window, return_complex=True)
        magnitude = torch.sqrt((spectra.real**2 + spectra.imag**2).clamp(min=_POWER_FLOOR))
        mel = self.get_buffer(f"mel{index}") @ magnitude
        predicted, true = mel.chunk(2)
        norms = torch.linalg.vector_norm(predicted, dim=(-2, -1))
        convergence = torch.linalg.vector_norm(predicted - true, dim=(-2, -1)) / norms
        return convergence + (predicted.log() - true.log()).abs().mean(dim=(-2, -1))


def _four(stereo: Tensor) -> Tensor:
    left, right = stereo
    return torch.stack((left, right, left + right, left - right))
