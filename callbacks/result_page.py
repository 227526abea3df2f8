"""The page of a result that a search writes into its folder."""

from __future__ import annotations

import time
from pathlib import Path

from torch import Tensor

from mixgraph.page.material import searched_material
from mixgraph.page.write import MOST_MEGABYTES, write_page
from mixgraph.results import PAGE
from mixgraph.songs import Song
from mixgraph.system.files import error_line

PAGE_BYTES = round(MOST_MEGABYTES * 1e6)


def add_page(folder: Path, song: Song, found_mix: Tensor, megabytes: float = MOST_MEGABYTES) -> str:
    """Writes the page of a result, whole or not at all; returns a line that says so, or why there is none.

    A song of so many tracks that their shortest excerpts are too large gets a page without audio. Whatever keeps the
    page from being made, the result stands: the page can be made later.

    Args:
        folder: the folder of the result, complete but for its times.
        song: the song that was searched.
        found_mix: (2, L), the mix that the found graph makes, at the level of the search.
        megabytes: the largest size of the page.
    """
    started, without = time.perf_counter(), ""
    try:
        material = searched_material(folder, song, found_mix)
        try:
            size = write_page(folder / PAGE, material, megabytes=megabytes)
        except ValueError:
            size = write_page(folder / PAGE, material, megabytes=megabytes, audio=False)
            without = f", without audio, which has no room in {megabytes:g} MB"
    except Exception as error:
        text = error_line(error) if isinstance(error, OSError) else str(error)
        why = " ".join(text.split()) or type(error).__name__
        return f"{PAGE} could not be made ({why}). HINT: python -m mixgraph report RESULT --out page.html"
    return f"{PAGE} was made in {time.perf_counter() - started:.1f} s ({size:.1f} MB{without})"
