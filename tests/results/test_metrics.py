"""The figures of a result: their arithmetic, and metrics.json written and read back."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from mixgraph.losses import SongScore
from mixgraph.report.closeness import Closeness
from mixgraph.report.findings import Finding
from mixgraph.report.verdict import Verdict
from mixgraph.results.metrics import (
    UNKNOWN_CODE,
    Losses,
    Metrics,
    ProcessorCounts,
    SecondOpinion,
    SongFacts,
    SongReading,
    TrackReading,
    has_search,
    read_metrics,
    read_reading,
    within_tolerance,
    write_metrics,
)
from mixgraph.results.summary import summarise
from mixgraph.songs import SongWarning, TrackAlignment


def score(target: float, prediction: float) -> SongScore:
    return SongScore({"full": target}, {"full": prediction}, (target,), (prediction,), 84000)


METRICS = Metrics(
    song=SongFacts("tiny", "A tiny song", "CC BY"),
    sample_rate=8000,
    num_samples=24000,
    level=0.5,
    tracks=(TrackReading("kick", 3, -1, True), TrackReading("hat", -2, 1, False)),
    file_hashes={"mix.wav": "a", "kick.wav": "b", "hat.wav": "c"},
    alignment=(TrackAlignment(3, -1, 0.75, "kick", True), TrackAlignment(-2, 1, 0.5, "hat", False)),
    warnings=(SongWarning("silent_track", "track hat: silent over the whole mix"),),
    steps=12,
    planned_steps=30,
    failure="It broke.",
    losses=Losses(score(2.0, 11.0), score(0.5, 9.5), score(0.625, 9.625)),
    front_end="mel",
    second_opinion=SecondOpinion("nsgt", 3.0, 0.75, 0.875),
    verdict=Verdict(
        "far",
        Closeness(1.5, {"31": -0.25, "1k": 2.0}, 0.0, -6.0, -6.0, -1.0, 0.5),
        (Finding("peak", "Loud.", "Less."),),
    ),
    tolerance=0.1,
    denominator="target",
    within_tolerance=False,
    num_processors=ProcessorCounts(8, 2),
    pruning_ratio=0.75,
    pruning_ratio_by_type={"equalizer": 0.5, "gain_panning": 1.0},
    num_processors_by_type={"equalizer": 2, "gain_panning": 0},
    num_console_processors_by_type={"equalizer": 4, "gain_panning": 4},
)
KEYS = (
    "song sample_rate num_samples level tracks file_hashes audio_sample_rate alignment warnings warning_codes steps "
    "planned_steps "
    "failure losses front_end second_opinion verdict tolerance denominator within_tolerance num_processors "
    "pruning_ratio pruning_ratio_by_type num_processors_by_type num_console_processors_by_type"
)


def test_metrics_come_back_as_they_were_written(tmp_path) -> None:
    write_metrics(tmp_path, METRICS)
    assert read_metrics(tmp_path) == METRICS
    assert has_search(tmp_path)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert " ".join(written) == KEYS
    assert written["song"] == {"name": "tiny", "title": "A tiny song", "licence": "CC BY"}
    assert written["tracks"][0] == {"name": "kick", "start_sample": 3, "polarity": -1, "mono": True}
    assert (written["warnings"], written["warning_codes"]) == (
        ["track hat: silent over the whole mix"],
        ["silent_track"],
    )
    assert written["losses"]["found"] == {
        "loss": {"full": 0.625},
        "loss_prediction": {"full": 9.625},
        "windows": [0.625],
        "windows_prediction": [9.625],
        "window_samples": 84000,
    }
    assert written["verdict"]["octaves_db"] == {"31": -0.25, "1k": 2.0}
    assert written["verdict"]["findings"] == [{"code": "peak", "text": "Loud.", "hint": "Less.", "option": ""}]
    silent = replace(METRICS, verdict=Verdict("silent target", None, ()), warnings=(), failure=None, tolerance=None)
    write_metrics(tmp_path, silent)
    assert read_metrics(tmp_path) == silent


def test_a_match_that_only_one_front_end_hears_is_told() -> None:
    text = summarise(Path("results/tiny"), METRICS)
    assert (
        "Second opinion (match loss by the front end nsgt, not by mel): dry sum 3.000, console 0.750, found graph "
        "0.875."
    ) in text
    assert "hears no match" not in text
    fooled = replace(METRICS, second_opinion=SecondOpinion("nsgt", 3.0, 3.5, 3.25))
    assert "WARNING: it hears no match: by its measure the dry sum is as close." in summarise(Path("x"), fooled)
    assert "--model.loss.front_end=nsgt" in summarise(Path("results/tiny"), fooled)


def test_a_loss_that_is_not_a_number_is_null_in_the_file(tmp_path) -> None:
    write_metrics(tmp_path, replace(METRICS, losses=replace(METRICS.losses, found=score(math.nan, math.inf))))
    assert json.loads((tmp_path / "metrics.json").read_text())["losses"]["found"]["windows"] == [None]
    graph_score = read_metrics(tmp_path).losses.found
    assert all(map(math.isnan, (graph_score.loss["full"], graph_score.windows[0], graph_score.loss_prediction["full"])))


def test_a_saved_graph_has_only_how_its_song_was_read(tmp_path) -> None:
    track = TrackReading("kick", 0, 1)
    reading = SongReading(sample_rate=8000, num_samples=9, level=2.0, tracks=(track,), file_hashes={"mix": None})
    write_metrics(tmp_path, reading)
    assert not has_search(tmp_path)
    assert read_reading(tmp_path) == reading
    assert "mono" not in json.loads((tmp_path / "metrics.json").read_text())["tracks"][0]
    with pytest.raises(ValueError, match=r"metrics\.json: song is missing"):
        read_metrics(tmp_path)


def test_files_of_earlier_versions_are_read(tmp_path) -> None:
    write_metrics(tmp_path, METRICS)
    newer = (
        "file_hashes alignment warning_codes planned_steps failure verdict denominator num_console_processors_by_type "
        "audio_sample_rate"
    )
    old = {k: v for k, v in json.loads((tmp_path / "metrics.json").read_text()).items() if k not in newer.split()}
    (tmp_path / "metrics.json").write_text(json.dumps(old))
    assert read_metrics(tmp_path) == replace(
        METRICS,
        file_hashes={},
        alignment=(),
        warnings=(SongWarning(UNKNOWN_CODE, "track hat: silent over the whole mix"),),
        planned_steps=12,
        failure=None,
        verdict=None,
        num_console_processors_by_type=None,
    )


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("losses", "found", "loss", "full"), "x", r"losses\.found\.loss\.full: a number is needed, got 'x'"),
        (("losses", "console"), 3, r"losses\.console: an object is needed, got 3"),
        (("losses", "found", "windows"), [0.5, True], r"losses\.found\.windows: a number is needed, got True"),
        (("losses", "found", "window_samples"), 0, r"losses\.found\.window_samples: a whole number from 1 to .* got 0"),
        (("tracks", 1, "polarity"), 0, r"polarity of hat: 1 or -1 is needed, got 0"),
        (("tracks",), {}, r"tracks: a list is needed, got \{\}"),
        (("tracks",), [3], r"tracks: a list of objects is needed, got \[3\]"),
        (("alignment", 0, "applied"), 1, r"alignment\[0\]\.applied: true or false is needed, got 1"),
        (("warning_codes",), [], r"warning_codes: a code for each of 1 warnings is needed, got \[\]"),
        (("warnings",), [1], r"warnings: a list of texts is needed, got \[1\]"),
        (("denominator",), "mix", r"denominator: target or prediction is needed, got 'mix'"),
        (("song", "title"), None, r"song\.title: a text is needed, got None"),
        (("num_processors", "found"), -1, r"num_processors\.found: a whole number from 0 to \d+ is needed, got -1"),
        (("level",), None, r"level: a number from 1e-08 to 1e\+08 is needed, got None"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_field(place, value, message, tmp_path) -> None:
    write_metrics(tmp_path, METRICS)
    data = json.loads((tmp_path / "metrics.json").read_text())
    holder = data
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    (tmp_path / "metrics.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"metrics\.json: {message}"):
        read_metrics(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "1" * 5000, "[" * 100000], ids=range(5))
def test_a_file_without_an_object_is_refused(text, tmp_path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.json: a JSON object is needed, got "):
        read_metrics(tmp_path)


def test_the_tolerance_is_of_the_loss_that_was_searched_by() -> None:
    """Paper eq. 7: at most the tolerance above the trained console."""
    console = score(0.5, 0.5)
    for graph_score, by_target, by_prediction in [
        (score(0.5, 0.75), True, False),
        (score(0.75, 0.5), False, True),
        (score(0.625, 0.625), True, True),  # exactly the tolerance
        (score(0.6251, 0.6251), False, False),
        (score(float("nan"), float("nan")), False, False),
    ]:
        assert within_tolerance(console, graph_score, 0.125, "target") is by_target
        assert within_tolerance(console, graph_score, 0.125, "prediction") is by_prediction
    assert within_tolerance(console, score(2.0, 2.0), None, "target") is None


@pytest.mark.parametrize("within", [True, False, None])
@pytest.mark.parametrize(("denominator", "more"), [("target", 0), ("prediction", 9)])
def test_a_graph_above_the_tolerance_is_named_in_the_summary(within, denominator, more) -> None:
    """By the loss that was searched by; the scores over the prediction's norm are 9 higher here."""
    metrics = replace(METRICS, steps=30, denominator=denominator, within_tolerance=within)
    text = summarise(Path("out"), metrics)
    assert f"dry sum {2 + more}.000, console {more}.500, found graph {more}.625" in text
    assert "2 of 8 left (75% pruned)" in text
    warning = "0.125 above the console, more than the tolerance of 0.1. HINT: lower pruning.tolerance"
    assert (warning in text) is (within is False)
    assert "Stopped" not in text
    assert text.splitlines()[-1].startswith("Result in out: graph.json, ")
    assert summarise(Path("out"), METRICS).startswith("Stopped after 12 of 30 steps, with the graph as it was.\n")
