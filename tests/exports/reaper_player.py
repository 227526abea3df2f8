"""A player of REAPER projects: tracks, folders, receives, effects and the sums of all, read by the package `rpp`.

It does what the documentation says that REAPER does: a track sums its items, the tracks in its folder and its receives,
passes them through its effects, its volume envelope and its mute, and hands them to its folder or to the mix. Effects
that delay what they do are made good everywhere. The interpreter runs the effects; the convolver's result is computed
at once from its file, unless `interpret` is true.
"""

from __future__ import annotations

import importlib.util
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import rpp
import soundfile

_SPEC = importlib.util.spec_from_file_location("eel2", Path(__file__).with_name("eel2.py"))
eel2 = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(eel2)


class Track:
    """A track as the file has it."""

    def __init__(self, element: rpp.Element, depth: int, parent: int | None) -> None:
        self.element, self.depth, self.parent = element, depth, parent
        self.name = element.find("NAME")[1]
        self.muted = element.find("MUTESOLO")[1] == "1"
        self.folder: list[int] = []

    def line(self, name: str) -> list[str]:
        return self.element.find(name)[1:]


class Project:
    """A project, parsed.

    Args:
        path: the .RPP file.
        effects: REAPER's folder Effects; that beside the project by default.
    """

    def __init__(self, path: Path, effects: Path | None = None) -> None:
        self.folder, self.effects = path.parent, effects or path.parent / "Effects"
        self.root = rpp.loads(path.read_text(encoding="utf-8"))
        self.rate = int(self.root.find("SAMPLERATE")[1])
        assert self.root.find("SAMPLERATE")[2] == "1"  # the project's rate, whatever the device's
        assert self.root.find("PANLAW")[1:] == ["1"]  # 0 dB: a centred track is as loud as its items
        self.tracks: list[Track] = []
        depth, parents = 0, []
        for element in self.root.findall("TRACK"):
            track = Track(element, depth, parents[-1] if parents else None)
            assert element.find("TRACKID")[1] == element.attrib[0]
            assert element.find("VOLPAN")[1:4] == ["1", "0", "-1"]
            if parents:
                self.tracks[parents[-1]].folder.append(len(self.tracks))
            state, change = (int(word) for word in track.line("ISBUS"))
            assert (state, change > 0, change < 0) in [(0, False, False), (1, True, False), (2, False, True)]
            if change > 0:
                parents.append(len(self.tracks))
            for _ in range(-change):
                parents.pop()
            depth += change
            self.tracks.append(track)
        assert depth == 0
        assert not parents

    def named(self, name: str) -> list[Track]:
        """The tracks of a name."""
        return [track for track in self.tracks if track.name == name]

    def inserts(self, track: Track) -> list[tuple[Path, str, dict[int, float]]]:
        """The effects of a track: file, name, sliders."""
        chain = track.element.find("FXCHAIN")
        if chain is None:
            return []
        found = []
        for block in chain.findall("JS"):
            words = block.children[0]
            assert len(words) == 64
            assert len(block.children) == 1
            sliders = {i: float(word) for i, word in enumerate(words, 1) if word != "-"}
            found.append((self.effects / block.attrib[0], block.attrib[1], sliders))
        return found

    def play(self, interpret: bool = False) -> np.ndarray:
        """Plays the mix, (2, L), from the project's beginning to its end."""
        seconds = max(float(item.find("LENGTH")[1]) for item in self.root.iter("ITEM"))
        length = round(seconds * self.rate)
        delays: dict[int, int] = {}  # of each track, from the beginning of the longest way to it
        for i in self._order():
            own = sum(self._late(*insert[::2], interpret) for insert in self.inserts(self.tracks[i]))
            delays[i] = own + max((delays[j] for j in self._feeding(i)), default=0)
        late = max(delays.values())
        signals: dict[int, np.ndarray] = {}
        for i in self._order():
            signals[i] = self._play_track(i, signals, late, length, interpret)
        mix = np.zeros((2, late + length + late))  # what comes before and after is heard through look-ahead
        for i, track in enumerate(self.tracks):
            if track.parent is None and track.line("MAINSEND")[0] == "1":
                mix += signals[i][:2]
        return mix[:, late : late + length]

    def _order(self) -> list[int]:
        """The numbers of the tracks, each behind those that it hears."""
        feeding = {i: self._feeding(i) for i in range(len(self.tracks))}
        return list(TopologicalSorter(feeding).static_order())

    def _feeding(self, number: int) -> list[int]:
        return [*self.tracks[number].folder, *(int(words[1]) for words in self._receives(self.tracks[number]))]

    def _receives(self, track: Track) -> list[list[str]]:
        return track.element.findall("AUXRECV")

    def _play_track(
        self, number: int, signals: dict[int, np.ndarray], late: int, length: int, interpret: bool
    ) -> np.ndarray:
        track = self.tracks[number]
        audio = np.zeros((int(track.line("NCHAN")[0]), late + length + late))
        if track.muted:
            return audio
        for item in track.element.findall("ITEM"):
            assert item.find("POSITION")[1] == "0"
            assert item.find("SOFFS")[1] == "0"
            assert item.find("FADEIN")[2] == "0"
            assert item.find("FADEOUT")[2] == "0"
            file = item.find("SOURCE").find("FILE")[1]
            assert not Path(file).is_absolute()
            samples, rate = soundfile.read(self.folder / file, dtype="float64", always_2d=True)
            assert rate == self.rate
            assert len(samples) == length
            audio[:2, late : late + length] += float(item.find("VOLPAN")[1]) * samples.T
        for other in track.folder:
            if self.tracks[other].line("MAINSEND")[0] == "1":
                channels = min(len(audio), len(signals[other]))
                audio[:channels] += signals[other][:channels]
        for words in self._receives(track):
            source, mode, volume, pan = int(words[1]), int(words[2]), float(words[3]), float(words[4])
            assert (mode, pan, words[5:9]) == (0, 0.0, ["0", "0", "0", "0"])
            first = int(words[9])
            audio[first : first + 2] += volume * signals[source][:2]
        for file, _, sliders in self.inserts(track):
            audio = self._run(file, sliders, audio, interpret)
        if (envelope := track.element.find("VOLENV2")) is not None:
            times, gains = np.array([[float(w) for w in point[1:3]] for point in envelope.findall("PT")]).T
            audio *= np.interp((np.arange(audio.shape[1]) - late) / self.rate, times, gains)
        return -audio if track.line("IPHASE")[0] == "1" else audio

    def _late(self, file: Path, sliders: dict[int, float], interpret: bool) -> int:
        """The delay of an effect that is made good."""
        if file.name != "convolver.jsfx":
            return 0
        return int(eel2.Effect(file, sliders, self.rate)["pdc_delay"]) if interpret else int(sliders[2])

    def _run(self, file: Path, sliders: dict[int, float], audio: np.ndarray, interpret: bool) -> np.ndarray:
        if file.name == "convolver.jsfx" and not interpret:
            return np.concatenate((self._convolve(file, sliders, audio[:2]), audio[2:]))
        effect = eel2.Effect(file, sliders, self.rate)
        used = min(len(audio), effect.channels)
        played = effect.run(audio[:used])
        delay = int(effect["pdc_delay"])
        if delay:
            assert (effect["pdc_bot_ch"], effect["pdc_top_ch"]) == (0, 2)
            played[:2] = np.concatenate((played[:2, delay:], np.zeros((2, delay))), axis=1)
        return np.concatenate((played, audio[used:]))

    def _convolve(self, file: Path, sliders: dict[int, float], audio: np.ndarray) -> np.ndarray:
        name = file.with_name(f"response_{sliders[1]:.0f}.wav")
        response, rate = soundfile.read(name, dtype="float64", always_2d=True)
        assert rate == self.rate
        before, wet, mid_side = int(sliders[2]), sliders[3], sliders[4] == 1
        turn = np.array([[0.5, 0.5], [0.5, -0.5]]) if mid_side else np.eye(2)
        n = audio.shape[1] + len(response)
        spectrum = np.fft.rfft(turn @ audio, n) * np.fft.rfft(response.T, n)
        late = np.linalg.inv(turn) @ np.fft.irfft(spectrum, n)
        return (1 - wet) * audio + wet * late[:, before : before + audio.shape[1]]
