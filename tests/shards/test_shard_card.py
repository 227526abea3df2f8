"""The card of a data set: its numbers are those of its samples, its files can be read by machines."""

import hashlib
import json
import re
from statistics import fmean

import matplotlib.image
import pytest
import yaml

from mixgraph.shards import CardTexts, load_index, read_shards, write_card
from mixgraph.shards.croissant import CITATION
from mixgraph.shards.statistics import by_dataset, markdown, mean_loss, pruning_ratio, size_columns, song_figures
from mixgraph.shards.texts import choice_section, read_texts

QUALITY = {"rules": [{"rule": "max_loss", "limit": 1.0}], "left_out": {"a | b": "loss 3"}, "songs": 3, "none": []}
TEXTS = CardTexts("Tiny set", "Two tiny songs.", "2026-11-29", choice=choice_section(QUALITY))


@pytest.fixture(scope="module")
def card(pack_results, tmp_path_factory):
    """A folder with the card of two songs, in excerpts."""
    folder = tmp_path_factory.mktemp("card") / "set"
    pack_results(folder, audio=True, excerpt_seconds=1.3)
    write_card(folder, TEXTS)
    return folder


@pytest.mark.long
def test_excerpts_are_one_song(card, results) -> None:
    songs = write_card(card, TEXTS)
    assert [song.song for song in songs] == ["duo", "tiny"]
    for figures, (folder, song) in zip(songs, reversed(results), strict=True):
        metrics = json.loads((folder / "metrics.json").read_text())
        assert figures.seconds == song.num_samples / 8000
        assert (figures.tracks, figures.subgroups) == (len(song.tracks), len(song.subgroups))
        assert dict(figures.counts) == metrics["num_processors_by_type"]
        assert figures.console == metrics["num_console_processors_by_type"]
        assert figures.losses == {
            f"{stage}/{name}": score[key]["full"]
            for stage, score in metrics["losses"].items()
            for key, name in (("loss", "target"), ("loss_prediction", "prediction"))
        }
    assert pruning_ratio(songs) == fmean(1 - s.processors / s.console_processors for s in songs)
    assert mean_loss(songs, "found/target") == fmean(s.losses["found/target"] for s in songs)
    assert size_columns(songs)["tracks"] == [2, 3]


def test_the_readme_has_a_header_for_hugging_face_and_the_tables(card, results) -> None:
    text = (card / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    header = yaml.safe_load(head)
    assert header["license"] == "cc0-1.0"
    assert header["size_categories"] == ["n<1K"]
    assert header["configs"][0]["data_files"] == [
        {"split": "test", "path": "test/*.tar"},
        {"split": "train", "path": "train/*.tar"},
    ]
    assert body.startswith("\n# Tiny set\n\nTwo tiny songs.\n")
    losses = [json.loads((f / "metrics.json").read_text())["losses"]["found"] for f, _ in results]
    target, prediction = (fmean(score[key]["full"] for score in losses) for key in ("loss", "loss_prediction"))
    assert f"| found graph | {target:.3f} | {prediction:.3f} |" in body
    assert "| tracks | 2 | 2.5 | 3 |" in body
    assert "| Tiny | CC0 | 2 |" in body
    assert "| rule | limit |\n| --- | --- |\n| max_loss | 1.0 |" in body
    assert "| a \\| b | loss 3 |" in body
    assert "### Songs\n\n3\n" in body
    assert "### None\n\nnone\n" in body
    assert all((card / name).is_file() for name in ("pictures/sizes.png", "pictures/ratios.png"))


def test_pictures_show_something(card) -> None:
    for name in ("sizes", "ratios"):
        picture = matplotlib.image.imread(card / "pictures" / f"{name}.png")
        assert picture.shape[1] == 1000
        assert 0.01 < (picture[..., :3].min(-1) < 0.9).mean() < 0.7  # songs of one size are one wide bar


def test_croissant_describes_what_is_there(card) -> None:
    record = json.loads((card / "croissant.json").read_text())
    assert record["@type"] == "sc:Dataset"
    assert record["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (record["citeAs"], record["datePublished"]) == (CITATION, "2026-11-29")
    objects = [d for d in record["distribution"] if d["@type"] == "cr:FileObject"]
    sets = [d for d in record["distribution"] if d["@type"] == "cr:FileSet"]
    assert [o["contentUrl"] for o in objects] == [shard.shard for shard in load_index(card).shards]
    for entry in objects:
        data = (card / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["contentSize"] == f"{len(data)} B"
    identifiers = {d["@id"] for d in record["distribution"]}
    assert len(identifiers) == len(record["distribution"])
    for files in sets:
        assert {part["@id"] for part in files["containedIn"]} == {o["@id"] for o in objects}
    # One source a record set: readers do not guess how several would be joined.
    keys = set()
    for records in record["recordSet"]:
        assert records["key"]["@id"] == records["field"][0]["@id"]
        keys.add(records["key"]["@id"])
        (source,) = {field["source"]["fileSet"]["@id"] for field in records["field"]}
        assert source == f"files-{records['name']}"
        assert source in identifiers
        if records["name"] == "meta.json":
            assert "references" not in records["field"][0]
        else:
            assert records["field"][0]["references"] == {"field": {"@id": "meta.json/key"}}
        assert re.match(records["field"][0]["source"]["transform"]["regex"], "s007.meta.json")[1] == "s007"
    assert len(keys) == len(sets) == 6
    assert {files["includes"] for files in sets} == {
        f"*.{name}" for name in ("graph.json", "params.safetensors", "trace.json", "meta.json", "dry.flac", "mix.flac")
    }


def test_sets_without_known_losses_have_a_card_too(make_set, tmp_path) -> None:
    make_set(tmp_path / "set", 3, 2, audio=False)
    songs = write_card(tmp_path / "set")
    text = (tmp_path / "set" / "README.md").read_text()
    assert "# set\n" in text
    assert "| found graph | - | - |" in text
    assert "dry.flac" not in text.split("---\n")[2]  # in the head it is declared, as of all sets
    assert 'audio_root="folder of the songs"' in text
    assert "every trial of the search" not in text
    assert "the graphs are the truth" in text
    assert "datePublished" not in (tmp_path / "set" / "croissant.json").read_text()
    assert len(songs) == 8
    assert list(by_dataset(songs)) == ["memory"]
    sample = next(read_shards(tmp_path / "set"))
    assert song_figures(sample.meta, sample.graph, "train") == songs[0]


def test_the_texts_of_a_card_are_read_again(card, tmp_path) -> None:
    assert read_texts(card) == TEXTS
    assert read_texts(tmp_path) == CardTexts()
    (tmp_path / "croissant.json").write_text("[]")
    with pytest.raises(ValueError, match=r"croissant\.json: an object is needed, got list"):
        read_texts(tmp_path)


@pytest.mark.parametrize("day", ["today", "2026-13-01", "2026-1-1", "29.11.2026"])
def test_dates_are_checked(day) -> None:
    with pytest.raises(ValueError, match="date_published: a date such as 2026-11-29 is needed, got"):
        CardTexts(date_published=day)


def test_names_in_tables_stay_in_their_cell_and_are_no_html() -> None:
    table = markdown([["data set"], ["a|b\r\n\u2028<script>"]])
    assert table.splitlines()[2] == r"| a\|b  &lt;script> |"
