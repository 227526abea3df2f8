"""The page of several results of one song, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.page.comparison import Compared
from mixgraph.page.comparison_audio import TARGET, common_excerpt_data, common_excerpts, read_mixes
from mixgraph.page.comparison_content import comparison_content, letters
from mixgraph.page.document import MOST_MEGABYTES, asset, html_document, within
from mixgraph.page.excerpts import Excerpt
from mixgraph.page.material import ChangedTracks
from mixgraph.system.files import write_atomically

_STYLES = ("page.css", "tables.css", "comparison.css")
_SCRIPTS = ("tools.js", "player.js", "listening.js", "tables.js", "comparison.js")


def write_comparison(
    path: Path,
    results: Sequence[Compared],
    damaged: Sequence[str] = (),
    *,
    tracks: Path | None = None,
    changed_tracks: ChangedTracks = "refuse",
    audio: bool = True,
    excerpts: str = "",
    whole: bool = False,
    megabytes: float = MOST_MEGABYTES,
) -> tuple[float, list[str]]:
    """Writes a page, whole or not at all; returns its size in megabytes, and what it says is missing.

    Args:
        path: the file to write.
        results: the results, all of one song.
        damaged: a sentence for each result that cannot be read.
        tracks: the song's folder, for results without their mix, where it is not where the search read it.
        changed_tracks: whether tracks whose content is another than in the search are refused.
        audio: whether the page can be heard; pictures of the audio are in it anyway.
        excerpts: stretches of the song, see `parse_excerpts`; by default the loudest and the worst matched.
        whole: take the whole song.
        megabytes: the largest size; excerpts are shortened to it, and the page says so.

    Raises:
        ValueError: excerpts that cannot be read, tracks that changed, or a page that is larger even with the shortest
            excerpts.
        OSError: the file cannot be written.
    """
    named = dict(zip(letters(len(results)), results, strict=True))
    mixes = read_mixes(named, tracks, changed_tracks)
    chosen = common_excerpts(results[0], mixes, excerpts, whole)
    content = comparison_content(results, damaged, path)
    content["notes"] += mixes.missing
    heard = [letter for letter in named if letter in mixes.by_name]
    content |= {
        "sampleRate": mixes.sample_rate,
        "tracks": [],
        "voices": [[name, "Target" if name == TARGET else name] for name in mixes.by_name],
        "spectra": [TARGET, *(f"error of {letter}" for letter in heard)],
    }

    def page(fitted: Sequence[Excerpt], notes: list[str]) -> bytes:
        data = [common_excerpt_data(mixes, excerpt, audio, heard) for excerpt in fitted]
        return _page(content | {"excerpts": data, "leftOut": notes})

    written = within(megabytes, chosen, page)
    write_atomically(path, written)
    return len(written) / 1e6, content["notes"]


def _page(content: dict[str, Any]) -> bytes:
    styles, scripts = (list(map(asset, names)) for names in (_STYLES, _SCRIPTS))
    return html_document("comparison.html", content["title"], styles, scripts, content)
