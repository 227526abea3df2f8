"""Songs of unusual sizes, searched by the command in a process of its own."""

import json

import pytest

from tools.sizes import SIZES, main


@pytest.mark.long
def test_a_song_of_one_mono_track_is_searched_and_its_memory_is_told(tmp_path) -> None:
    assert len({size.name for size in SIZES}) == len(SIZES)
    out = tmp_path / "sizes.json"
    main(["--only", "1 track, mono", "--out", str(out)])
    table = json.loads(out.read_text())
    (row,) = table["rows"]
    assert table["measured"][0]["command"] == "python -m tools.sizes --only '1 track, mono'"
    assert row[1:3] == ["1", "1"]
    assert 0.2 < float(row[6].removesuffix(" GB")) < 2
