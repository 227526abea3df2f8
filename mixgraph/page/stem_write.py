"""The page of a demixed song: a fader and a spectrogram a stem."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.names import visible
from mixgraph.page.document import MOST_MEGABYTES, asset, html_document, within
from mixgraph.page.excerpts import Excerpt, encoded
from mixgraph.page.pictures import pictures
from mixgraph.page.stem_material import StemMaterial, stem_excerpts
from mixgraph.songs.decode import read_stretch
from mixgraph.system.files import write_atomically

_STYLES = ("page.css", "tables.css", "stems.css")
_SCRIPTS = ("tools.js", "tables.js", "player.js", "listening.js", "stems.js")
_MIX = "target"  # the name by which the page's player knows what it starts with


def write_stem_page(
    path: Path,
    material: StemMaterial,
    *,
    audio: bool = True,
    excerpts: str = "",
    whole: bool = False,
    megabytes: float = MOST_MEGABYTES,
) -> float:
    """Writes a page, whole or not at all, and returns its size in megabytes.

    Args:
        path: the file to write.
        material: the demixed song.
        audio: whether the page can be heard; pictures of the audio are in it anyway.
        excerpts: stretches of the song, see `parse_excerpts`; by default the loudest.
        whole: take the whole song.
        megabytes: the largest size; excerpts are shortened to it, and the page says so.

    Raises:
        ValueError: excerpts that cannot be read, a stem that changed meanwhile, or a page that is larger even with the
            shortest excerpts.
        OSError: the file cannot be written.
    """
    content = stem_content(material)

    def page(fitted: Sequence[Excerpt], notes: list[str]) -> bytes:
        data = content | {"excerpts": [_excerpt_data(material, e, audio) for e in fitted], "leftOut": notes}
        styles, scripts = (list(map(asset, names)) for names in (_STYLES, _SCRIPTS))
        return html_document("stems.html", content["title"], styles, scripts, data)

    written = within(megabytes, stem_excerpts(material, excerpts, whole), page)
    write_atomically(path, written)
    return len(written) / 1e6


def stem_content(material: StemMaterial) -> dict[str, Any]:
    """Returns everything that the page of a demixed song shows, as JSON, but for its excerpts."""
    record = material.record
    stems = [
        {"key": key, "name": visible(name), "argument": name if _is_argument(name) else None}
        for key, name in _keys(material).items()
    ]
    mix = "Mix as it is" if material.is_mix else "Sum of the stems as it is"
    return {
        "title": visible(record.mix),
        "notes": [*material.missing, *map(visible, record.notes)],
        "sampleRate": record.sample_rate,
        "networkSampleRate": record.network_sample_rate,
        "seconds": record.samples / record.sample_rate,
        "distanceDb": record.distance_db,
        "checkpoint": visible(record.checkpoint),
        "mix": visible(record.mix),
        "blended": [[visible(target), visible(file)] for target, file in record.blended.items()],
        "stems": stems,
        "tracks": [],
        "voices": [[_MIX, mix], ["faders", "Faders"]],
        "spectra": [_MIX, *(stem["key"] for stem in stems)],
        "labels": {_MIX: mix} | {stem["key"]: stem["name"] for stem in stems},
    }


def _keys(material: StemMaterial) -> dict[str, str]:
    return {f"stem {row}": name for row, name in enumerate(material.stems)}


def _is_argument(name: str) -> bool:
    """Whether a name can stand in `--gains` as it is shown: commas part names there, and an option begins with `-`."""
    return name == visible(name).strip() and re.fullmatch(r"[^-,][^,]*", name) is not None


def _excerpt_data(material: StemMaterial, excerpt: Excerpt, with_audio: bool) -> dict[str, Any]:
    rate = material.record.sample_rate
    first, last = round(excerpt.start * rate), min(round(excerpt.stop * rate), material.record.samples)
    signals = {_MIX: material.mix[:, first:last]}
    for key, name in _keys(material).items():
        signals[key] = read_stretch(material.stems[name], first, last).expand(2, -1)
    data: dict[str, Any] = {"name": excerpt.name, "start": first / rate, "seconds": (last - first) / rate}
    data["pictures"] = pictures(signals, tuple(signals), {}, rate)
    if with_audio:
        data["audio"] = {name: encoded(signal, rate) for name, signal in signals.items()}
    return data
