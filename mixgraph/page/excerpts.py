"""The stretches of a song that a page plays: chosen by level and by loss, and as FLAC of 16 bits in base64."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from torch import Tensor

from mixgraph.page.material import Material
from mixgraph.page.pictures import pictures
from mixgraph.page.web_audio import chain_voices
from mixgraph.results.found_graph import FoundGraph
from mixgraph.results.stems import StemPlace, render_stem
from mixgraph.songs.clips import loudest_start
from mixgraph.songs.loudness import integrated_loudness

_SECONDS = 12.0  # of an excerpt, where the page has room for it
_LEAST_SECONDS = 2.0
_MOST_GAIN_DB = 30.0
_FULL = 1 << 15


@dataclass(frozen=True)
class Excerpt:
    """A stretch of the song, in seconds, and why it was chosen."""

    name: str
    start: float
    stop: float


def choose_excerpts(material: Material, seconds: float = _SECONDS) -> list[Excerpt]:
    """Chooses the loudest stretch of the target, and the one around the window of the highest loss."""
    graph, rate = material.found_graph, material.found_graph.sample_rate
    whole = graph.num_samples / rate
    if whole <= seconds * 1.25:
        return [Excerpt("whole song", 0.0, whole)]
    starts = [_loudest_start(material, seconds)]
    if graph.metrics is not None and len(graph.metrics.losses.found.windows) > 1:
        score = graph.metrics.losses.found
        worst = max(range(len(score.windows)), key=score.windows.__getitem__)
        middle = (worst + 0.5) * score.window_samples / rate
        starts.append(min(max(0.0, middle - seconds / 2), whole - seconds))
    if len(starts) > 1 and abs(starts[0] - starts[1]) < seconds / 2:
        return [Excerpt("loudest, worst matched", starts[0], starts[0] + seconds)]
    names = ("loudest", "worst matched")
    return [Excerpt(name, start, start + seconds) for name, start in zip(names, starts, strict=False)]


def _loudest_start(material: Material, seconds: float) -> float:
    mix = material.found_mix if material.target is None or material.target_is_reference else material.target
    if mix is None:
        return 0.0
    rate = material.found_graph.sample_rate
    return loudest_start(mix, round(seconds * rate)) / rate


def parse_excerpts(text: str, whole: float) -> list[Excerpt]:
    """Reads excerpts as users write them, `START-STOP` in seconds with commas between: `12-20,61.5-70`.

    Raises:
        ValueError: another form, or a stretch that is not inside the song.
    """
    excerpts = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            start, stop = float(first), float(last)
        except ValueError:
            start, stop = 1.0, 0.0
        if not 0 <= start < stop <= whole + 0.01:
            raise ValueError(f"excerpts: START-STOP in seconds within 0 to {whole:.2f} expected, got {part!r}")
        excerpts.append(Excerpt(f"{start:g} to {stop:g} s", start, min(stop, whole)))
    return excerpts


def excerpt_data(material: Material, excerpt: Excerpt, with_audio: bool) -> dict[str, Any]:
    """Returns an excerpt as JSON: its audio in base64, the gains that match the levels, and its spectrograms."""
    rate = material.found_graph.sample_rate
    first, last = round(excerpt.start * rate), round(excerpt.stop * rate)
    target, found_mix, sources = (
        None if audio is None else audio[..., first:last] / material.level
        for audio in (material.target, material.found_mix, material.sources)
    )
    data: dict[str, Any] = {"name": excerpt.name, "start": first / rate, "seconds": (last - first) / rate}
    signals = {name: mix for name, mix in (("target", target), ("found", found_mix)) if mix is not None}
    errors = {} if material.target_is_reference else {"error": "found"}
    data["pictures"] = pictures(signals, ("target", "found"), errors, rate)
    if sources is not None:
        signals |= {f"track {row}": track for row, track in enumerate(sources)} | {"dry": sources.sum(dim=0)}
    if not with_audio:
        return data
    if target is not None and found_mix is not None and not material.target_is_reference:
        signals["difference"] = found_mix - target
    data["gains"] = matching_gains(signals, rate)
    if target is not None and sources is not None:
        data["gains"] |= _chain_gains(material.found_graph, sources, target)
    data["audio"] = {name: encoded(signal, rate) for name, signal in signals.items()}
    return data


def _chain_gains(graph: FoundGraph, sources: Tensor, target: Tensor) -> dict[str, float]:
    """The gains of each chain's sound, see `chain_voices`, as the page plays it: from the excerpt alone."""
    gains = {}
    for name, ends in chain_voices(graph.graph).items():
        sound = render_stem(graph, sources, StemPlace("subgroup", name, "", ends))
        gains[name] = matching_gains({"target": target, name: sound}, graph.sample_rate)[name]
    return gains


def matching_gains(signals: dict[str, Tensor], sample_rate: int) -> dict[str, float]:
    """Returns the factor that brings each signal to the loudness of the target; 1 for what is silent or too short."""
    loudness = {
        name: integrated_loudness(signal, sample_rate) if signal.shape[-1] >= 0.4 * sample_rate else -math.inf
        for name, signal in signals.items()
    }
    goal = loudness.get("target", -math.inf)
    if not math.isfinite(goal):
        return dict.fromkeys(signals, 1.0)
    gains = {}
    for name, level in loudness.items():
        db = goal - level if math.isfinite(level) else 0.0
        gains[name] = 10 ** (max(-_MOST_GAIN_DB, min(_MOST_GAIN_DB, db)) / 20)
    return gains


def encoded(signal: Tensor, sample_rate: int) -> dict[str, Any]:
    """Returns a signal (2, L) as FLAC of 16 bits in base64, divided by a power of two that its peak needs."""
    channels = signal[:1] if bool((signal[0] == signal[1]).all()) else signal
    peak = float(channels.abs().max()) if channels.numel() else 0.0
    scale = 2.0 ** math.ceil(math.log2(peak)) if peak > 2.0**-20 else 1.0
    whole = np.clip(np.rint(channels.double().T.numpy() / scale * _FULL), -_FULL, _FULL - 1).astype(np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, whole, sample_rate, format="FLAC", subtype="PCM_16")
    return {"scale": scale, "flac": base64.b64encode(stream.getvalue()).decode()}


def fit_excerpts(excerpts: Sequence[Excerpt], seconds: float) -> list[Excerpt]:
    """Shortens excerpts to a length around their middles."""
    fitted = []
    for excerpt in excerpts:
        length = min(excerpt.stop - excerpt.start, max(seconds, _LEAST_SECONDS))
        start = excerpt.start + (excerpt.stop - excerpt.start - length) / 2
        fitted.append(Excerpt(excerpt.name, start, start + length))
    return fitted
