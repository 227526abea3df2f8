"""Dry tracks that sound like music, made from formulas: the raw material of synthetic songs.

The instruments differ in register and rhythm, their notes in velocity, their bars in intensity, and each rests in
some bars; all have a noise floor, as recordings do. So every processor finds something to act on: compressors
transients, gates the noise between notes, imagers the side signal of the stereo instruments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

DRY_RMS_DB = -20.0
DRY_PEAK = 0.9
_BEATS_PER_BAR = 4
_PENTATONIC = (0, 3, 5, 7, 10)  # semitones above the root: any two of them are consonant
_NOISE_FLOOR_DB = -26.0  # relative to the track's rms


@dataclass(frozen=True)
class Sheet:
    """Length, tempo and harmony, which all instruments of a song share.

    Attributes:
        num_samples: length L of the song.
        sample_rate: the sample rate in Hz.
        beat_seconds: duration of a quarter note.
        root_hz: the root of the scale, in the octave above 55 Hz.
        chords: the chord of each bar, in semitones above the root.
    """

    num_samples: int
    sample_rate: int
    beat_seconds: float
    root_hz: float
    chords: tuple[int, ...]

    @cached_property
    def num_bars(self) -> int:
        seconds = self.num_samples / self.sample_rate
        return math.ceil(seconds / (self.beat_seconds * _BEATS_PER_BAR))


class Part:
    """One instrument's track under construction: random numbers, a rhythm, and the notes played so far.

    Args:
        sheet: the song's tempo, harmony and length.
        generator: source of all randomness of the track.
        channels: 1 or 2.
        octave: shifts all pitches.
    """

    def __init__(self, sheet: Sheet, generator: torch.Generator, channels: int, octave: int) -> None:
        self.sheet, self.generator, self.octave = sheet, generator, octave
        self.audio = torch.zeros(channels, sheet.num_samples, dtype=torch.float64)
        resting = int(self.uniform(0, 4))
        intensity = [self.uniform(0.45, 1.0) for _ in range(sheet.num_bars)]
        long = sheet.num_bars >= 4
        self.intensity = [0.0 if long and (bar + resting) % 4 == 3 else i for bar, i in enumerate(intensity)]

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def steps(self, steps_per_beat: int) -> Iterator[tuple[int, int, float]]:
        """Yields (bar, step in the bar, intensity) of the bars in which the instrument plays."""
        for bar, intensity in enumerate(self.intensity):
            if intensity > 0:
                yield from ((bar, step, intensity) for step in range(_BEATS_PER_BAR * steps_per_beat))

    def pitch(self, bar: int, semitones: int, octave: int) -> float:
        return self.sheet.root_hz * 2 ** (self.octave + octave + (self.sheet.chords[bar] + semitones) / 12)

    def scale_note(self) -> int:
        return _PENTATONIC[int(self.uniform(0, len(_PENTATONIC)))]

    def time(self, seconds: float) -> Tensor:
        samples = max(1, round(seconds * self.sheet.sample_rate))
        return torch.arange(samples, dtype=torch.float64) / self.sheet.sample_rate

    def tone(self, hertz: float, time: Tensor, partials: Mapping[int, float] | Mapping[float, float]) -> Tensor:
        """A sum of partials, frequency ratio -> amplitude; those above 0.45 of the sample rate are left out."""
        tone = torch.zeros_like(time)
        for ratio, amplitude in partials.items():
            phase = self.uniform(0, 2 * math.pi)
            if hertz * ratio < 0.45 * self.sheet.sample_rate:
                tone += amplitude * torch.sin(2 * math.pi * hertz * ratio * time + phase)
        return tone

    def noise(self, samples: int, low_hz: float, high_hz: float) -> Tensor:
        """Noise of unit rms in a band with soft edges, (channels, samples); partly shared by the channels."""
        channels = self.audio.shape[0]
        white = torch.randn(channels + 1, samples, generator=self.generator, dtype=torch.float64)
        hertz = torch.fft.rfftfreq(samples, 1 / self.sheet.sample_rate, dtype=torch.float64)
        band = 1 / (1 + (low_hz / hertz.clamp(min=1)) ** 6) / (1 + (hertz / high_hz) ** 6)
        coloured = torch.fft.irfft(torch.fft.rfft(white) * band, n=samples)
        mixed = coloured[:1] if channels == 1 else coloured[:1] + 0.8 * coloured[1:]
        return mixed / mixed.square().mean().sqrt().clamp(min=1e-9)

    def play(self, bar: int, beat: float, sound: Tensor) -> None:
        """Adds a sound, (time,) or (channels, time), at a beat of a bar; what passes the song's end is cut."""
        start = round((bar * _BEATS_PER_BAR + beat) * self.sheet.beat_seconds * self.sheet.sample_rate)
        length = min(sound.shape[-1], self.sheet.num_samples - start)
        if length > 0:
            self.audio[:, start : start + length] += sound[..., :length]


def kick(part: Part) -> None:
    """Sines that fall from 150 to 50 Hz, with a click."""
    for bar, step, intensity in part.steps(2):
        if step in (0, 4) or part.uniform(0, 1) < 0.15:
            time = part.time(0.4)
            phase = 2 * math.pi * 2**part.octave * (50 * time - 3.5 * torch.exp(-time / 0.035))
            body = torch.sin(phase) * torch.exp(-time / part.uniform(0.09, 0.14))
            click = part.noise(time.numel(), 1000, 4000) * torch.exp(-time / 0.004)
            part.play(bar, step / 2, intensity * part.uniform(0.6, 1) * (body + 0.3 * click))


def snare(part: Part) -> None:
    """Noise bursts on a short tone, with ghost notes; stereo."""
    for bar, step, intensity in part.steps(4):
        accent = step in (4, 12)
        if accent or part.uniform(0, 1) < 0.2:
            time = part.time(0.35)
            burst = part.noise(time.numel(), 900, 6000) * torch.exp(-time / part.uniform(0.05, 0.09))
            body = part.tone(190 * 2**part.octave, time, {1: 1.0, 1.6: 0.5}) * torch.exp(-time / 0.05)
            velocity = part.uniform(0.7, 1) if accent else part.uniform(0.12, 0.3)
            part.play(bar, step / 4, intensity * velocity * (0.5 * burst + body))


def hats(part: Part) -> None:
    """Short bursts of high noise on every sixteenth; stereo."""
    for bar, step, intensity in part.steps(4):
        time = part.time(0.2)
        decay = 0.09 if part.uniform(0, 1) < 0.15 else part.uniform(0.015, 0.035)
        burst = part.noise(time.numel(), 6000 * 2.0 ** min(part.octave, 0), 14000) * torch.exp(-time / decay)
        part.play(bar, step / 4, intensity * part.uniform(0.3, 1) * (1.0 if step % 4 == 2 else 0.6) * burst)


def bass(part: Part) -> None:
    """Eighth notes in the octave above 55 Hz with a few harmonics."""
    for bar, step, intensity in part.steps(2):
        if step % 4 == 0 or part.uniform(0, 1) < 0.6:
            time = part.time(part.sheet.beat_seconds * 0.6)
            hertz = part.pitch(bar, 0 if step % 4 == 0 else part.scale_note(), 0)
            tone = part.tone(hertz, time, {n: n**-1.3 for n in range(1, 9)})
            release = torch.sigmoid((time[-1] - 0.03 - time) / 0.006)
            envelope = (1 - torch.exp(-time / 0.004)) * torch.exp(-time / 0.35) * release
            part.play(bar, step / 2, intensity * part.uniform(0.4, 1) * tone * envelope)


def pluck(part: Part) -> None:
    """Plucked notes whose upper partials die first, thrown from side to side; stereo."""
    for bar, step, intensity in part.steps(4):
        if part.uniform(0, 1) < 0.45:
            time = part.time(0.9)
            hertz = part.pitch(bar, part.scale_note(), 2 + int(part.uniform(0, 2)))
            partials = [
                part.tone(hertz, time, {n: 1 / n}) * torch.exp(-time * (1 + 0.35 * n) / 0.28) for n in range(1, 11)
            ]
            note = torch.stack(partials).sum(dim=0) * (1 - torch.exp(-time / 0.001))
            position = part.uniform(0.1, 0.9)
            channels = torch.tensor([[1 - position], [position]], dtype=torch.float64)
            part.play(bar, step / 4, intensity * part.uniform(0.3, 1) * channels * note)


def pad(part: Part) -> None:
    """A chord a bar with a slow attack, detuned between left and right; stereo."""
    for bar, intensity in enumerate(part.intensity):
        time = part.time(part.sheet.beat_seconds * _BEATS_PER_BAR * 0.95)
        envelope = (1 - torch.exp(-time / 0.35)) * torch.sigmoid((time[-1] - 0.25 - time) / 0.06)
        swell = 1 + 0.4 * torch.sin(2 * math.pi * part.uniform(0.5, 1.5) * time)
        for semitones in (0, 7, 15):
            hertz = part.pitch(bar, semitones, 2)
            partials = {n: n**-1.2 for n in range(1, 13)}
            sides = [part.tone(hertz * detune, time, partials) for detune in (0.997, 1.003)]
            part.play(bar, 0, intensity * torch.stack(sides) * envelope * swell)


def lead(part: Part) -> None:
    """A melody with vibrato and rests."""
    for bar, step, intensity in part.steps(2):
        if part.uniform(0, 1) < 0.55:
            time = part.time(part.sheet.beat_seconds * part.uniform(0.4, 0.9))
            hertz = part.pitch(bar, part.scale_note(), 3)
            vibrato = 0.15 * torch.sin(2 * math.pi * 5.5 * time) * (1 - torch.exp(-time / 0.2))
            phase = 2 * math.pi * hertz * time + vibrato * hertz / 55
            tone = torch.stack([torch.sin(n * phase) / n**1.1 for n in range(1, 8)]).sum(dim=0)
            envelope = (1 - torch.exp(-time / 0.02)) * torch.sigmoid((time[-1] - 0.05 - time) / 0.012)
            part.play(bar, step / 2, intensity * part.uniform(0.35, 1) * tone * envelope)


def bells(part: Part) -> None:
    """Sparse notes of inharmonic partials; stereo."""
    for bar, step, intensity in part.steps(1):
        if part.uniform(0, 1) < 0.5:
            time = part.time(1.2)
            hertz = part.pitch(bar, part.scale_note(), 4)
            partials = {1: 1.0, 2.76: 0.6, 5.4: 0.3}
            sides = torch.stack([part.tone(hertz * detune, time, partials) for detune in (0.999, 1.001)])
            part.play(bar, step, intensity * part.uniform(0.3, 1) * sides * torch.exp(-time / 0.35))


@dataclass(frozen=True)
class Instrument:
    """An instrument: the function that plays it, and facts about its track.

    Attributes:
        play: writes the notes into a part.
        stereo: True if the track has a side signal.
        low_hz, high_hz: the band of its noise floor.
        echoes: True if engineers would put a delay on the track.
        reverberant: True if engineers would put a reverb on the track.
    """

    play: Callable[[Part], None]
    stereo: bool
    low_hz: float
    high_hz: float
    echoes: bool
    reverberant: bool

    @property
    def name(self) -> str:
        return self.play.__name__


INSTRUMENTS = (
    Instrument(kick, False, 60, 3000, False, False),
    Instrument(snare, True, 300, 9000, True, True),
    Instrument(bass, False, 60, 2500, False, False),
    Instrument(pluck, True, 500, 8000, True, True),
    Instrument(pad, True, 200, 6000, False, True),
    Instrument(lead, False, 700, 9000, True, True),
    Instrument(hats, True, 5000, 13000, False, True),
    Instrument(bells, True, 1500, 12000, True, True),
)


def make_sheet(num_samples: int, sample_rate: int, generator: torch.Generator) -> Sheet:
    """Draws tempo (100 to 130 beats a minute), key and chords."""
    tempo, key = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    chords = torch.randint(4, (math.ceil(num_samples / sample_rate) + 1,), generator=generator).tolist()
    steps = (0, 3, 5, 8)
    return Sheet(
        num_samples, sample_rate, 60 / (100 + 30 * tempo), 55 * 2 ** (key * 0.5), tuple(steps[c] for c in chords)
    )


def make_track(instrument: Instrument, sheet: Sheet, generator: torch.Generator, octave: int = 0) -> Tensor:
    """Plays a track: (2, L) float32 at an rms of -20 dB +- 2 dB, less where its peak would pass 0.9.

    Both channels of a mono track are equal.
    """
    part = Part(sheet, generator, 2 if instrument.stereo else 1, octave)
    instrument.play(part)
    level = part.audio.square().mean().sqrt().clamp(min=1e-6)
    floor = level * 10 ** ((_NOISE_FLOOR_DB + part.uniform(-2, 2)) / 20)
    audio = part.audio + floor * part.noise(sheet.num_samples, instrument.low_hz, instrument.high_hz)
    rms_db = DRY_RMS_DB + part.uniform(-2, 2)
    gain = min(10 ** (rms_db / 20) / float(audio.square().mean().sqrt()), DRY_PEAK / float(audio.abs().max()))
    return (gain * audio).float().expand(2, -1).contiguous()
