"""A listening test by ITU-R BS.1534 (MUSHRA): excerpts of one loudness, anchors, and a configuration for webMUSHRA.

webMUSHRA (audiolabs, on GitHub) shows the pages in a browser and collects what listeners say. Nothing here says what
they would.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
import torch
import yaml
from torch import Tensor

from mixgraph.dsp.resample import resample
from mixgraph.names import file_names
from mixgraph.results.publish import FolderKind, Place, publish_folder
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.system.files import write_atomically

CONFIG = "automix.yaml"
ANCHORS = {"anchor 3.5 kHz": 3500.0, "anchor 7 kHz": 7000.0}
"""The low and the mid anchor of BS.1534-3, by name: the reference without what is above a frequency in Hz."""
EXCERPT_LUFS = -23.0
MOST_CONDITIONS = 12  # BS.1534-3, reference and anchors included
MOST_SECONDS = 12.0  # what webMUSHRA plays; BS.1534-3 advises about 10
_FOLDER = "configs/mixgraph_automix"  # where the folder has to lie in webMUSHRA's
_PEAK = 0.98
_FADE_SECONDS = 0.02


@dataclass(frozen=True, eq=False)
class ListeningPage:
    """A page of the test: one excerpt in all its mixes.

    Attributes:
        name: name of the song.
        sample_rate: in Hz.
        reference: the engineer's mix, (2, L).
        mixes: name of a method -> its mix, (2, L).
    """

    name: str
    sample_rate: int
    reference: Tensor
    mixes: Mapping[str, Tensor]


def loudest_part(mix: Tensor, sample_rate: int, seconds: float) -> slice:
    """Returns the samples of the part of a mix with the highest power, by steps of a tenth of its length."""
    length = min(round(seconds * sample_rate), mix.shape[-1])
    starts = range(0, mix.shape[-1] - length + 1, max(1, length // 10))
    powers = [float(mix[:, start : start + length].double().square().mean()) for start in starts]
    first = starts[powers.index(max(powers))]
    return slice(first, first + length)


def low_passed(audio: Tensor, sample_rate: int, hertz: float) -> Tensor:
    """Returns audio, (2, L), without what is above a frequency, by a linear-phase filter that falls over an eighth."""
    size = 2 * audio.shape[-1]
    bins = torch.arange(size // 2 + 1, dtype=torch.float64) * (sample_rate / size)
    fall = ((bins - hertz) / (hertz / 8)).clamp(0, 1)
    spectrum = torch.fft.rfft(audio.double(), n=size) * (1 + torch.cos(math.pi * fall)) / 2
    return torch.fft.irfft(spectrum, n=size)[:, : audio.shape[-1]].to(audio)


def at_one_loudness(excerpts: Sequence[Tensor], sample_rate: int) -> list[Tensor]:
    """Returns excerpts, (2, L) each, at one loudness: -23 LUFS, or less where a peak would not fit a file.

    Raises:
        ValueError: one is silent.
    """
    loudness = [integrated_loudness(audio, sample_rate) for audio in excerpts]
    if not all(map(math.isfinite, loudness)):
        raise ValueError("excerpts that sound are needed, got a silent one. HINT: a longer excerpt")
    peaks = [20 * math.log10(float(audio.abs().max())) - level for audio, level in zip(excerpts, loudness, strict=True)]
    wanted = min(EXCERPT_LUFS, 20 * math.log10(_PEAK) - max(peaks))
    return [audio * 10 ** ((wanted - level) / 20) for audio, level in zip(excerpts, loudness, strict=True)]


def _foreign(entries: list[Path]) -> list[Path]:
    return entries  # a test may have been sent to listeners: none is replaced


_TEST = FolderKind("listening test", _foreign, lambda folder: (folder / CONFIG).is_file())


def check_listening_test(folder: Path, mixes: Mapping[str, int], seconds: float) -> None:
    """Checks that a test can be written.

    Args:
        folder: where it is to be.
        mixes: song -> the number of its mixes, the reference not among them.
        seconds: length of the excerpts.

    Raises:
        FileExistsError: the folder holds something.
        ValueError: no songs, too many mixes, or a length that webMUSHRA does not play.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"listening_test: {folder} holds files that are kept; choose another folder")
    if not 1 <= seconds <= MOST_SECONDS:
        raise ValueError(f"excerpt_seconds: 1 to {MOST_SECONDS:g} s, got {seconds:g}")
    if not mixes:
        raise ValueError("listening_test: songs with the engineer's mix are needed as references, got none")
    most = MOST_CONDITIONS - 1 - len(ANCHORS)
    for name, count in mixes.items():
        if count > most:
            raise ValueError(
                f"listening_test: {name}: at most {most} mixes beside the reference and the anchors, got {count}. "
                "HINT: fewer --answers at a time"
            )


def write_listening_test(folder: Path, pages: Sequence[ListeningPage], seconds: float, sample_rate: int = 48000) -> int:
    """Writes the excerpts and the configuration of a test; returns the number of files of audio.

    Args:
        folder: an empty folder, or one that is not there.
        pages: a page for each song.
        seconds: length of the excerpts, from the loudest part of the reference; BS.1534 advises about 10 s.
        sample_rate: of the files, in Hz, one for all.

    Raises:
        FileExistsError: the folder holds something.
        ValueError: no pages, too many conditions, a length that webMUSHRA does not play, or a silent excerpt.
    """
    check_listening_test(folder, {page.name: len(page.mixes) for page in pages}, seconds)
    place = Place(folder, _TEST, "listening_test", "choose another folder")
    with publish_folder(place, overwrite=folder.is_dir()) as work:
        return _write(work, pages, seconds, sample_rate)


def _write(folder: Path, pages: Sequence[ListeningPage], seconds: float, sample_rate: int) -> int:
    written, trials, taken = 0, [], set[str]()
    for page in pages:
        part = loudest_part(page.reference, page.sample_rate, seconds)
        cuts = [_faded(audio[:, part], page.sample_rate) for audio in (page.reference, *page.mixes.values())]
        cuts = [resample(audio, page.sample_rate, sample_rate) for audio in cuts]
        cuts += [low_passed(cuts[0], sample_rate, hertz) for hertz in ANCHORS.values()]
        names = ["reference", *page.mixes, *ANCHORS]
        for name, audio in zip(names, cuts, strict=True):
            if not math.isfinite(integrated_loudness(audio, sample_rate)):
                raise ValueError(
                    f"listening_test: {page.name}: an excerpt that sounds is needed, got a silent one of {name}. "
                    "HINT: longer --excerpt-seconds"
                )
        (song,) = file_names([_plain(page.name)], taken)
        keys = file_names(map(_plain, names), set())
        files = [f"{song}/{key}.wav" for key in keys]
        for file, audio in zip(files, at_one_loudness(cuts, sample_rate), strict=True):
            path = folder / "audio" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, audio.T.numpy(), sample_rate, subtype="PCM_24")
            written += 1
        paths = [f"{_FOLDER}/audio/{file}" for file in files]
        trials.append(_trial(song, page.name, paths[0], dict(zip(keys[1:], paths[1:], strict=True))))
    text = yaml.safe_dump(_configuration(trials), sort_keys=False, allow_unicode=True, width=100)
    write_atomically(folder / CONFIG, text.encode())
    write_atomically(folder / "README.txt", _README.encode())
    return written


def _plain(name: str) -> str:
    """A name that webMUSHRA can put into addresses and into attributes of its pages as it is."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "_"


def _faded(audio: Tensor, sample_rate: int) -> Tensor:
    rise = torch.linspace(0, 1, max(2, round(_FADE_SECONDS * sample_rate)))
    audio = audio.clone()
    audio[:, : len(rise)] *= rise
    audio[:, audio.shape[-1] - len(rise) :] *= rise.flip(0)
    return audio


def _trial(key: str, name: str, reference: str, stimuli: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "mushra",
        "id": key,
        "name": html.escape(name),
        "content": "How good is each mix of this song, beside the reference? Rate all, then go on.",
        "showWaveform": False,
        "enableLooping": True,
        "reference": reference,
        "createAnchor35": False,  # they are among the files
        "createAnchor70": False,
        "randomize": True,
        "showConditionNames": False,
        "stimuli": stimuli,
    }


def _configuration(trials: list[dict[str, Any]]) -> dict[str, Any]:
    volume = {
        "type": "volume",
        "id": "volume",
        "name": "Loudness",
        "content": "Set your headphones to a pleasant loudness, and do not change it later.",
        "stimulus": trials[0]["reference"],
        "defaultVolume": 0.5,
    }
    finish = {
        "type": "finish",
        "name": "Thank you",
        "content": "Send your ratings.",
        "popupContent": "Your ratings were sent.",
        "showResults": False,
        "writeResults": True,
    }
    return {
        "testname": "Mixes of songs",
        "testId": "mixgraph_automix",
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [volume, ["random", *trials], finish],
    }


_README = f"""A listening test (ITU-R BS.1534, MUSHRA) for webMUSHRA.

Copy this folder to {_FOLDER} below webMUSHRA's folder, and open
    http://localhost/webMUSHRA?config=mixgraph_automix/{CONFIG}
Every page has the engineer's mix as the reference, which webMUSHRA also hides among the mixes, and two anchors: the
reference without what is above 3.5 kHz, and without what is above 7 kHz. All files of a page have one loudness
(ITU-R BS.1770).
Nobody has listened yet: the ratings come from your listeners.
"""
