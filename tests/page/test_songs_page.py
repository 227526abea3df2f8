"""The page of many songs, and of a dataset: its rows, its links, damaged parts, and how it acts in a real browser."""

import json
import math
import re

import pytest

from mixgraph.cli.report import main
from mixgraph.page.songs_page import write_dataset_page

HOSTILE = "</script><script>alert(1)</script>\"'&\u202eevil"


def page_data(path) -> dict:
    text = path.read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def song_row(name, status="accepted", runs=(0,), best=0, **more) -> dict:
    search = {"runs": list(runs), "best_run": best, "agreement": 0.75 if len(runs) > 1 else None} if runs else None
    measured = {"loss": 0.5, "processors": 9, "pruning_ratio": 0.0}
    row = {
        "song": name,
        "status": status,
        "licence": "CC0 1.0",
        "artist": None,
        "reasons": [],
        "measurements": measured,
    }
    return row | {"search": search} | more


def write_songs(folder, rows, rules=()) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "songs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "quality.json").write_text(json.dumps(list(rules)))


@pytest.fixture
def dataset(write_result, tmp_path):
    """Three songs: one of two runs, one that was left out, and one that failed."""
    out = tmp_path / "set"
    write_result(out / "results" / "alpha" / "run_0", "", 0.6)
    write_result(out / "results" / "alpha" / "run_1", "cd", 0.5)
    write_result(out / "results" / "beta" / "run_0", "d", 1.25, tracks=("a", "b", "c"))
    rows = [
        song_row("alpha", runs=(0, 1), best=1),
        song_row("beta", "rejected", reasons=["loss 1.25, at most 1 needed"]),
        song_row("gamma", "failed", runs=(), measurements=None, reasons=["the mix is silent"]),
    ]
    rule = {"rule": "max_loss", "limit": 1.0, "reason": "faders do better", "rejected": 1, "rejected_by_it_alone": 1}
    write_songs(out, rows, [rule])
    return out


def test_a_dataset_has_a_row_a_song(dataset) -> None:
    (dataset / "results" / "beta" / "run_0" / "report.html").write_text("page")
    size, notes = write_dataset_page(dataset / "index.html", [dataset])
    data = page_data(dataset / "index.html")
    assert notes == []
    assert size == (dataset / "index.html").stat().st_size / 1e6
    alpha, beta, gamma = data["rows"]
    assert (alpha["losses"], alpha["left"], alpha["console"]) == ([1.5, 0.5, 0.5], 5, 9)
    assert (alpha["agreement"], alpha["runs"], alpha["tracks"], alpha["subgroups"]) == (0.75, 2, 2, 1)
    assert alpha["found"] == {"equalizer": 2, "compressor": 0, "gain_panning": 2, "delay": 0, "reverb": 1}
    assert alpha["ratios"]["compressor"] == 1.0
    assert alpha["href"] is None
    assert alpha["commands"] == [
        "python -m mixgraph report results/alpha/run_1 --out results/alpha/run_1/report.html",
        "python -m mixgraph report results/alpha/run_0 results/alpha/run_1 --out results/alpha/runs.html",
    ]
    assert (beta["href"], beta["status"]) == ("results/beta/run_0/report.html", "rejected")
    assert beta["why"] == ["loss 1.25, at most 1 needed"]
    assert (gamma["status"], gamma["why"], gamma["losses"]) == ("failed", ["the mix is silent"], [None] * 3)
    assert [(rule["rule"], rule["limit"], rule["rejected"]) for rule in data["rules"]] == [("max_loss", 1.0, 1)]


def test_damaged_parts_are_named_and_the_rest_is_shown(dataset, tmp_path, capsys) -> None:
    (dataset / "results" / "alpha" / "run_1" / "metrics.json").write_text("{}")
    (dataset / "quality.json").write_text('[{"rule": "max_loss"}]')
    wrong = [
        '{"song": "y", "reasons": "late"}',
        "[",
        "[]",
        json.dumps(song_row("../beta")),
        json.dumps(song_row("x", runs=("a",))),
    ]
    with (dataset / "songs.jsonl").open("a") as file:
        file.write("\n".join(wrong) + "\n")
    out = tmp_path / "page.html"
    assert main([str(dataset), "--out", str(out)]) == 0
    data = page_data(out)
    assert [row["song"] for row in data["rows"]] == ["alpha", "beta", "gamma", "../beta", "x"]
    assert data["rows"][0]["losses"] == [None, None, 0.5]
    said = "\n".join(data["notes"])
    assert "the result of alpha cannot be read" in said
    assert all(f"line {n} of songs.jsonl is damaged" in said for n in (4, 5, 6))
    assert "the name of a folder expected, got '../beta'" in said
    assert "the number of a run expected" in said
    assert "quality.json cannot be read" in said
    assert "the result of alpha cannot be read" in capsys.readouterr().out


def test_datasets_of_one_name_are_told_apart(write_result, tmp_path) -> None:
    folders = [tmp_path / parent / "set" for parent in ("first", "second")]
    for folder in folders:
        write_result(folder / "results" / "alpha" / "run_0")
        write_songs(folder, [song_row("alpha")])
    write_dataset_page(tmp_path / "page.html", folders)
    data = page_data(tmp_path / "page.html")
    assert data["sets"] == [row["set"] for row in data["rows"]] == ["first/set", "second/set"]


def test_results_of_several_songs_are_a_table(write_result, tmp_path) -> None:
    one = write_result(tmp_path / "one", "c", 0.4)
    two = write_result(tmp_path / "two", "", 0.6, tracks=("a", "b"))
    (two / "report.html").write_text("page")
    (tmp_path / "pages").mkdir()
    out = tmp_path / "pages" / "page.html"
    assert main([str(one), str(two), "--out", str(out)]) == 0
    data = page_data(out)
    assert [(row["song"], row["losses"][2], row["left"], row["href"]) for row in data["rows"]] == [
        ("one", 0.4, 7, None),
        ("two", 0.6, 9, "../two/report.html"),
    ]
    assert data["rows"][0]["commands"] == ["python -m mixgraph report ../one --out ../one/report.html"]
    assert "flac" not in out.read_text()


def test_what_cannot_be_on_one_page_is_refused(dataset, write_result, tmp_path) -> None:
    one, two = write_result(tmp_path / "one"), write_result(tmp_path / "two", tracks=("a", "b"))
    out = str(tmp_path / "page.html")
    with pytest.raises(ValueError, match="excerpts: a page of results of several songs has no audio"):
        main([str(one), str(two), "--out", out, "--excerpts", "0-1"])
    with pytest.raises(ValueError, match="whole: a page of a dataset has no audio"):
        main([str(dataset), "--out", out, "--whole"])
    with pytest.raises(ValueError, match="either results or datasets expected"):
        main([str(dataset), str(one), "--out", out])
    with pytest.raises(ValueError, match="MB are needed for 3 songs"):
        main([str(dataset), "--out", out, "--megabytes", "0.001"])
    assert not (tmp_path / "page.html").exists()


@pytest.mark.long
def test_a_dataset_in_a_browser(dataset, write_result, tmp_path, open_page) -> None:
    other = tmp_path / "other"
    write_result(other / "results" / "delta" / "run_0", "c", 0.7, title=HOSTILE)
    write_songs(other, [song_row("delta", artist=HOSTILE)])
    out = tmp_path / "page.html"
    assert main([str(dataset), str(other), "--out", str(out)]) == 0
    text = out.read_text()
    assert text.count("<script") == 2
    assert "\u202e" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    page = open_page(out)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    songs, names = page.locator("#songs tbody tr"), page.locator("#songs tbody th")
    assert songs.count() == 4
    head = page.locator("#songs thead th").filter(has_text=re.compile("^loss$"))
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert [name.split("\n")[0] for name in names.all_inner_texts()] == ["alpha", "delta", "beta", "gamma"]
    page.keyboard.press("Enter")
    assert [name.split("\n")[0] for name in names.all_inner_texts()] == ["beta", "delta", "alpha", "gamma"]
    assert head.get_attribute("aria-sort") == "descending"
    page.get_by_role("searchbox").fill("SILENT")
    assert names.all_inner_texts() == ["gamma"]
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox").select_option("rejected")
    assert page.locator("#songs [role=status]").inner_text() == "1 of 4"
    page.get_by_role("button", name="How to make the page of beta").click()
    assert "report set/results/beta/run_0 --out" in page.locator("dialog[open] code").inner_text()
    page.keyboard.press("Escape")
    means = [row.split("\t") for row in page.locator("#means tbody tr").all_inner_texts()]
    assert [row[:4] for row in means] == [
        ["set", "1", "0.500", "0.44"],
        ["other", "1", "0.700", "0.22"],
        ["total", "2", "0.600", "0.33"],
    ]
    assert page.locator("#figures svg[aria-label^='Tracks: 2 songs, mean 2.0']").count() == 1


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 1000])
def test_few_and_many_songs(count, write_result, tmp_path, open_page) -> None:
    folder = tmp_path / "set"
    write_result(folder / "results" / "song 0" / "run_0")
    rows = [
        song_row(f"song {i}", measurements={"loss": math.sin(i) ** 2, "processors": i, "pruning_ratio": 0.5})
        for i in range(count)
    ]
    write_songs(folder, [rows[0], *(row | {"search": None} for row in rows[1:])])
    write_dataset_page(folder / "index.html", [folder])
    page = open_page(folder / "index.html")
    assert page.locator("#songs tbody tr").count() == count
    sorted_in = page.evaluate("""() => {
        const start = performance.now();
        document.querySelector("#songs thead th:nth-child(4) button").click();
        return performance.now() - start;
    }""")
    assert sorted_in < 2000
    assert page.locator("#figures svg").count() >= 6
