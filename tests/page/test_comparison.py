"""Pages of several results of a song: what they say, what they refuse, and how they act in a real browser."""

import json
import re

import pytest
import torch

from mixgraph.cli.report import main
from mixgraph.page.comparison import Compared, differing_settings, read_results, relative_link, short_names
from mixgraph.page.comparison_audio import read_mixes
from mixgraph.page.comparison_content import agreement, comparison_content, letters
from mixgraph.page.document import within
from mixgraph.page.excerpts import Excerpt
from mixgraph.results.found_graph import load_result

HOSTILE = "</script><script>alert(1)</script>\"'&\u202eevil"


def page_data(path) -> dict:
    text = path.read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture
def three(write_result, tmp_path) -> list:
    return [
        write_result(tmp_path / "runs" / "a", "", 0.5),
        write_result(tmp_path / "runs" / "b", "cd", 0.55, settings={"tolerance": 0.1, "sampler": "brute_force"}),
        write_result(tmp_path / "runs" / "c", "d", 0.52, settings={"tolerance": 0.05}),
    ]


def test_a_page_holds_the_figures_of_every_result(three, tmp_path) -> None:
    results, damaged = read_results(three)
    content = comparison_content(results, damaged, tmp_path / "page.html")
    assert [r["letter"] for r in content["results"]] == ["A", "B", "C"]
    assert [r["losses"] for r in content["results"]] == [[1.5, x, x] for x in (0.5, 0.55, 0.52)]
    assert [(r["left"], r["console"], r["seconds"]) for r in content["results"]] == [(9, 9, 90), (5, 9, 90), (7, 9, 90)]
    assert content["settings"] == {
        "pruning.sampler": ["hybrid", "brute_force", "hybrid"],
        "pruning.tolerance": ["0.01", "0.1", "0.05"],
    }
    rows = {(row["place"], row["name"]): row["found"] for row in content["matrix"]}
    assert rows["track kick", "equalizer"] == [True, True, True]
    assert rows["track kick", "compressor"] == [True, False, True]
    assert rows["track lead", "multitap delay"] == [True, False, False]
    assert list(rows)[-1] == ("subgroup all", "reverb")
    assert content["agreement"] == pytest.approx((10 / 14 + 14 / 16 + 10 / 12) / 3)
    assert content["notes"] == []


def test_links_are_relative_and_only_to_pages_that_are_there(three, tmp_path) -> None:
    (three[1] / "report.html").write_text("page")
    results, _ = read_results(three)
    content = comparison_content(results, [], tmp_path / "pages" / "page.html")
    assert [r["href"] for r in content["results"]] == [None, "../runs/b/report.html", None]
    assert relative_link(tmp_path / "java:script?#" / "x", tmp_path / "page.html") == "java%3Ascript%3F%23/x"


def test_a_damaged_result_is_named_and_the_others_are_shown(three, tmp_path, capsys) -> None:
    (three[0] / "graph.json").write_text("{")
    (three[2] / "config.yaml").write_text("a: [")
    (three[2] / "timings.json").unlink()
    (three[1] / "config.yaml").write_text("- a")
    (three[1] / "timings.json").write_text("[]")
    out = tmp_path / "page.html"
    assert main([*map(str, three), "--out", str(out), "--no-audio"]) == 0
    data = page_data(out)
    assert [r["name"] for r in data["results"]] == ["b", "c"]
    assert "The result a cannot be read and is not shown" in data["notes"][0]
    assert data["notes"][1] == "The settings of b cannot be read: config.yaml: a YAML mapping is needed, got ['a']"
    assert data["notes"][2] == "The time that b took cannot be read: timings.json: a JSON object is needed, got []"
    assert "The settings of c cannot be read" in data["notes"][3]
    assert "timings.json is missing" in data["notes"][4]
    assert "The result a cannot be read" in capsys.readouterr().out
    for folder in three:
        (folder / "graph.json").write_text("{")
    with pytest.raises(ValueError, match="at least one that can be read expected, got none"):
        read_results(three)


def test_folders_that_cannot_be_compared_are_refused(three, tmp_path, write_result) -> None:
    out = str(tmp_path / "page.html")
    with pytest.raises(ValueError, match="twice"):
        main([str(three[0]), f"{three[0]}/../a", "--out", out])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"folder of a result .* expected, got .*empty"):
        main([str(three[0]), str(tmp_path / "empty"), "--out", out])


def test_mixes_that_are_missing_are_named(three, tmp_path) -> None:
    (three[1] / "mix_found.flac").unlink()
    (three[0] / "mix_target.flac").unlink()
    (three[2] / "mix_found.flac").write_bytes(b"no audio")
    out = tmp_path / "page.html"
    assert main([*map(str, three), "--out", str(out)]) == 0
    data = page_data(out)
    assert data["voices"] == [["target", "Target"], ["A", "A"]]
    assert set(data["excerpts"][0]["pictures"]) == {
        f"{n} {c}" for n in ("target", "error of A") for c in ("mid", "side")
    }
    assert any("b cannot be heard" in note for note in data["notes"])
    assert any("mix_found of c cannot be read" in note for note in data["notes"])


def test_excerpts_are_the_same_for_all_and_refused_where_they_are_too_large(three, tmp_path) -> None:
    out = tmp_path / "page.html"
    main([*map(str, three), "--out", str(out), "--excerpts", "0.5-1.5"])
    (excerpt,) = page_data(out)["excerpts"]
    assert (excerpt["start"], excerpt["seconds"]) == (0.5, 1.0)
    assert set(excerpt["audio"]) == {"target", "A", "B", "C"}
    assert excerpt["gains"]["A"] == pytest.approx(1, rel=1e-3)
    size = out.stat().st_size / 1e6
    with pytest.raises(ValueError, match="HINT: --no-audio"):
        main([*map(str, three), "--out", str(out), "--overwrite", "--megabytes", f"{size / 10:.3f}"])


def test_results_of_other_sample_rates_are_heard_at_the_first_ones(three, write_result, tmp_path) -> None:
    other = write_result(tmp_path / "other", "e", rate=16000)
    results, _ = read_results([three[0], other])
    mixes = read_mixes(dict(zip("AB", results, strict=True)))
    spectrum = torch.fft.rfft(mixes.by_name["B"][0]).abs()
    assert mixes.sample_rate == 8000
    assert {mix.shape for mix in mixes.by_name.values()} == {(2, 16000)}
    assert int(spectrum.argmax()) == 2 * 880  # bins of half a hertz


def test_excerpts_are_shortened_around_their_middles_until_the_page_fits() -> None:
    made = []

    def page(excerpts, notes) -> bytes:
        made.append(excerpts)
        return bytes(int(2e5 * sum(e.stop - e.start for e in excerpts))) + "".join(notes).encode()

    written = within(1.0, [Excerpt("loud", 0.0, 10.0)], page)
    assert [(e.start, e.stop) for (e,) in made] == [(0.0, 10.0), (2.75, 7.25)]
    assert b"shortened to 4.5 s, so that the page stays below 1 MB" in written


def test_names_that_differ_only_above_are_told_apart(tmp_path) -> None:
    assert short_names([tmp_path / "x" / "run_0", tmp_path / "y" / "run_0"]) == ["x/run_0", "y/run_0"]
    assert letters(28)[24:] == ["Y", "Z", "AA", "AB"]


def test_results_without_settings_do_not_differ(three) -> None:
    results, _ = read_results(three[:2])
    bare = [Compared(r.name, r.folder, r.found_graph) for r in results]
    assert differing_settings(bare) == {}
    assert differing_settings([bare[0], results[1]]) == {}
    assert agreement([results[0].found_graph.graph]) is None


def test_another_mix_of_the_same_tracks_is_another_song(three, write_result, tmp_path) -> None:
    other = write_result(tmp_path / "other", mix_hash="c" * 64)
    renamed = write_result(tmp_path / "renamed", tracks=("kick", "vox"))
    (first, same, of_other_mix, of_other_tracks), _ = read_results([*three[:2], other, renamed])
    assert same.is_of_the_song_of(first)
    assert not of_other_mix.is_of_the_song_of(first)
    assert not of_other_tracks.is_of_the_song_of(first)


@pytest.mark.long
def test_results_side_by_side_in_a_browser(write_result, tmp_path, open_page, wait) -> None:
    names = ("kick", HOSTILE)
    folders = [
        write_result(tmp_path / name, drop, tracks=names, title=HOSTILE) for name, drop in (("a", ""), ("b<i>", "cd"))
    ]
    out = tmp_path / "page.html"
    load_result(folders[1]).save(tmp_path / "saved")
    assert main([*map(str, [*folders, tmp_path / "saved"]), "--out", str(out)]) == 0
    text = out.read_text()
    assert text.count("<script") == 2
    assert "\u202e" not in text
    page = open_page(out)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("#results tbody th").all_inner_texts() == ["Aa", "Bb<i>", "Csaved"]
    assert page.locator(".graphs figure svg").count() == 3
    assert page.locator(".spectrum").count() == 3
    page.emulate_media(color_scheme="dark")
    letter = "getComputedStyle(document.querySelector('.graphs [data-type=equalizer] text')).fill"
    assert page.evaluate(letter) == "rgb(255, 255, 255)"  # as drawn: the box behind it keeps its colour, too
    heads = page.locator("#results thead th")
    found = heads.filter(has_text="processors")
    found.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert found.get_attribute("aria-sort") == "ascending"
    assert page.locator("#results tbody .letter-mark").all_inner_texts() == ["B", "C", "A"]
    assert "saved cannot be heard" in page.locator("#notes").inner_text()
    page.get_by_role("button", name="Not in every result").click()
    assert page.locator("#matrix tbody tr").count() == 4
    page.get_by_role("button", name="Show the graph of B").click()
    assert page.locator("dialog[open] svg").count() == 1
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.now() > 0.1")
    page.get_by_role("button", name="B", exact=True).click()
    wait(page, "mixgraphPlayer.voices.B.gain.gain.value > 0.2")
    assert page.evaluate("mixgraphPlayer.voices.target.gain.gain.value") == pytest.approx(0, abs=1e-3)
    assert page.evaluate("mixgraphPlayer.context.state") == "running"


@pytest.mark.long
def test_a_page_of_graphs_that_cannot_be_heard_says_so(three, tmp_path, open_page) -> None:
    for i, folder in enumerate(three):
        load_result(folder).save(tmp_path / f"saved_{i}")
    out = tmp_path / "page.html"
    main([*(str(tmp_path / f"saved_{i}") for i in range(3)), "--out", str(out)])
    page = open_page(out)
    assert page.locator("#transport").inner_text() == ""
    assert "The target is in none of the results" in page.locator("#notes").inner_text()
    assert page.locator("#matrix tbody tr").count() == 9
    assert page.locator("#results tbody td").filter(has_text="9 of –").count() == 1


@pytest.mark.long
def test_mixes_start_together_and_are_what_the_results_have(three, tmp_path, open_page, wait) -> None:
    out = tmp_path / "page.html"
    main([*map(str, three), "--out", str(out)])
    page = open_page(out)
    page.evaluate("mixgraphPlayer.load(0).then(() => { window.loaded = true; })")
    wait(page, "window.loaded === true")
    counts = page.evaluate(
        """() => Object.fromEntries(Object.entries(mixgraphPlayer.buffers.get(0)).map(([name, buffer]) => {
            const x = buffer.getChannelData(0);
            return [name, [x.length, x.filter((v, i) => i && x[i - 1] < 0 && v >= 0).length]];
        }))"""
    )
    assert {name: length for name, (length, _) in counts.items()} == dict.fromkeys(("target", "A", "B", "C"), 16000)
    assert [counts[name][1] for name in ("target", "A", "C", "B")] == pytest.approx([880, 880, 1760, 2640], abs=2)
