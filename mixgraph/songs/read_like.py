"""Files of audio that belong to a mix, brought to its rate and its length."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mixgraph.dsp.resample import resample
from mixgraph.songs.decode import decode
from mixgraph.songs.load import describe_absurd

NOTABLE_SECONDS = 0.01


def read_like(
    path: Path, sample_rate: int, num_samples: int, tell_higher_rate: bool = True
) -> tuple[Tensor, list[str]]:
    """Reads a stem at the rate and the length of the mix: (1 or 2, num_samples), and sentences on what was changed.

    Without `tell_higher_rate` nothing is said of a file of a higher rate, as where the mix was resampled itself.

    Raises:
        ValueError: it cannot be decoded, or has samples that are no audio.
    """
    audio = decode(path, sample_rate)
    if (absurd := describe_absurd(path, audio.samples, audio.sample_rate)) is not None:
        raise ValueError(absurd)
    notes = []
    if audio.sample_rate < sample_rate or (tell_higher_rate and audio.sample_rate > sample_rate):
        notes.append(f"{path.name}: resampled from {audio.sample_rate} Hz to {sample_rate} Hz, the rate of the mix")
    samples = resample(audio.samples, audio.sample_rate, sample_rate)
    missing = num_samples - samples.shape[-1]
    if abs(missing) > NOTABLE_SECONDS * sample_rate:
        seconds = f"{samples.shape[-1] / sample_rate:.3f} s, the mix {num_samples / sample_rate:.3f} s"
        done = "silence was put after it" if missing > 0 else "its end was cut"
        notes.append(f"{path.name}: has {seconds}: {done}. HINT: was it made from this file of the mix?")
    return torch.nn.functional.pad(samples[:, :num_samples], (0, max(0, missing))), notes
