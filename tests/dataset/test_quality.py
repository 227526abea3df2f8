"""Quality rules on known figures, and how much several runs agree."""

import json
import math
from dataclasses import replace

import pytest
import torch

from mixgraph.dataset import QualityRules, SongSource, measure, read_runs
from mixgraph.dataset.assessment import assess, quality_table
from mixgraph.graph import build_console
from mixgraph.graph.edit import prune
from mixgraph.graph.io import save_graph
from mixgraph.losses import SongScore
from mixgraph.results.metrics import (
    Losses,
    Metrics,
    ProcessorCounts,
    SecondOpinion,
    SongFacts,
    TrackReading,
    read_metrics,
    write_metrics,
)
from mixgraph.songs import SongWarning, write_audio

RATE = 8000
CONSOLE = build_console({"drums": ("kick", "hat"), "lead": ("lead",)}, "eg", "g")
TRACKS = ("kick", "hat", "lead")
KEPT = [CONSOLE.label(i) for i in CONSOLE.processors]


def write_run(
    folder, drop=(), loss=0.5, windows=(0.5, 0.5, 0.5, 0.5), increases=True, silent_seconds=0, tracks=TRACKS, **metrics
):
    """A result of 8 s with windows of 2 s, without audio of tracks; `drop` are labels of removed processors."""
    folder.mkdir(parents=True)
    graph, _ = prune(CONSOLE, [i for i in CONSOLE.processors if CONSOLE.label(i) not in drop])
    count = len(graph.processors)
    known = torch.arange(count, dtype=torch.float64) / 10 if increases else None
    save_graph(folder / "graph.json", graph, torch.full((count,), 0.5), sample_rate=RATE, loss_increases=known)
    mix = 0.5 * torch.sin(torch.arange(8 * RATE) * 0.3).expand(2, -1).clone()
    mix[:, : silent_seconds * RATE] *= 1e-5
    write_audio(folder / "mix_target.flac", mix, RATE)
    full = math.nan if loss is None else loss
    score = SongScore({"full": full}, {"full": full}, tuple(windows), tuple(windows), 2 * RATE)
    dry_sum = SongScore({"full": 1.5}, {"full": 1.5}, (1.5,) * 4, (1.5,) * 4, 2 * RATE)
    figures = Metrics(
        song=SongFacts("song", "A song", ""),
        sample_rate=RATE,
        num_samples=8 * RATE,
        level=1.0,
        tracks=tuple(TrackReading(name, 0, 1, False) for name in tracks),
        file_hashes={},
        warnings=(SongWarning("silent_track", "track kick: is silent"), SongWarning("track_offset", "track hat: late")),
        steps=3,
        planned_steps=3,
        losses=Losses(dry_sum, dry_sum, score),
        tolerance=0.1,
        denominator="target",
        within_tolerance=True,
        num_processors=ProcessorCounts(8, count),
        pruning_ratio=1 - count / 8,
    )
    write_metrics(folder, replace(figures, **metrics))
    return folder


def measured(folder):
    return measure(folder, read_metrics(folder))


def test_measurements_of_a_known_result(tmp_path) -> None:
    windows = (0.1, 0.2, 0.3, 0.6, 0.5, 0.5, 0.8, 1.0)
    measurements = measured(write_run(tmp_path / "run", KEPT[:2], 0.5, windows, silent_seconds=4))
    assert measurements.loss == 0.5
    assert measurements.loss_ratio == pytest.approx(1 / 3)
    assert measurements.loss_change == pytest.approx((0.9 - 0.15) / 0.5)  # quarters are 0.15, 0.45, 0.5 and 0.9
    assert measurements.silence == 0.5  # 2 of 4 windows are 100 dB below the others
    assert measurements.silent_tracks == pytest.approx(1 / 3)
    assert (measurements.processors, measurements.pruning_ratio) == (6, 0.25)


def test_a_short_song_changes_from_window_to_window(tmp_path) -> None:
    assert measured(write_run(tmp_path / "one", windows=(0.5,))).loss_change == 0
    assert measured(write_run(tmp_path / "two", windows=(0.4, 0.6))).loss_change == pytest.approx(0.4)


def test_the_defaults_take_what_real_songs_reach_and_refuse_what_faders_reach(tmp_path) -> None:
    good = measured(write_run(tmp_path / "good", KEPT[:3], 0.52))
    assert QualityRules().broken(good) == []
    faders = measured(write_run(tmp_path / "faders", KEPT[:3], 1.046))
    assert QualityRules().broken(faders) == [("max_loss", "loss 1.05, at most 1 needed")]


@pytest.mark.parametrize(
    ("result", "broken"),
    [
        ({"loss": 1.4}, ["max_loss", "max_loss_ratio"]),
        ({"windows": (0.1, 0.1, 0.1, 1.1)}, ["max_loss_change"]),
        ({"silent_seconds": 6}, ["max_silence"]),
        ({"silent_seconds": 8}, []),  # 100 dB lower as a whole is not silence beside itself
        ({"drop": KEPT, "pruning_ratio": 1.0}, ["min_processors"]),
        ({"pruning_ratio": 0.0}, ["min_pruning_ratio"]),
        ({"tracks": ("kick",)}, ["max_silent_tracks"]),
        ({"loss": None}, ["max_loss", "max_loss_ratio", "max_loss_change"]),  # not a number
    ],
)
def test_each_rule_refuses_what_it_is_for(result, broken, tmp_path) -> None:
    measurements = measured(write_run(tmp_path / "run", **({"drop": KEPT[:2]} | result)))
    assert [name for name, _ in QualityRules().broken(measurements)] == broken


def test_of_an_earlier_versions_result_silent_tracks_are_not_counted_and_that_is_told(tmp_path) -> None:
    """Its metrics.json has sentences without codes; sentences are for people, and no rule reads them."""
    folder = write_run(tmp_path / "run", KEPT[:2], tracks=("kick",))
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["warning_codes"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.warns(
        UserWarning, match=r"metrics\.json: warning_codes is missing, .* max_silent_tracks is not applied"
    ):
        measurements = measured(folder)
    assert measurements.silent_tracks is None
    assert QualityRules().broken(measurements) == []
    (folder / "metrics.json").write_text(json.dumps(metrics | {"warnings": []}))  # nothing to have a code
    assert measured(folder).silent_tracks == 0


def test_digital_silence_is_silence(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    write_audio(folder / "mix_target.flac", torch.zeros(2, 8 * RATE), RATE)
    assert measured(folder).silence == 1.0


def test_every_rule_has_a_reason_and_its_effect_is_counted(tmp_path) -> None:
    source = SongSource("a", tmp_path, "", None, 8.0, 3, {}, {})
    songs = [
        assess(source, [(0, write_run(tmp_path / "0", KEPT[:2]))], QualityRules()),
        assess(source, [(0, write_run(tmp_path / "1", KEPT[:2], 1.4))], QualityRules()),
        assess(source, [(0, write_run(tmp_path / "2", KEPT[:2], silent_seconds=6))], QualityRules()),
        assess(source, [], QualityRules(), ["ValueError: no"]),
    ]
    assert [song.status for song in songs] == ["accepted", "rejected", "rejected", "failed"]
    table = {row["rule"]: row for row in quality_table(QualityRules(max_loss=0.9), songs)}
    assert all(len(row["reason"]) > 20 for row in table.values())
    counts = {name: (row["rejected"], row["rejected_by_it_alone"]) for name, row in table.items() if row["rejected"]}
    assert counts == {"max_loss": (1, 0), "max_loss_ratio": (1, 0), "max_silence": (1, 1)}
    assert (table["max_loss"]["limit"], table["max_loss"]["default"]) == (0.9, 1.0)
    assert songs[3].to_dict()["reasons"] == ["ValueError: no"]
    assert songs[1].rejection() == {
        "song": "a",
        "run": "1",
        "rules": {"max_loss": "loss 1.4, at most 1 needed", "max_loss_ratio": "loss_ratio 0.933, at most 0.9 needed"},
    }
    with pytest.raises(ValueError, match="no run ended well"):
        _ = songs[3].best


def test_one_run_has_no_confidence(tmp_path) -> None:
    runs = read_runs([(0, write_run(tmp_path / "run_0", KEPT[:2]))])
    assert (runs.confidence, runs.agreement) == (None, None)
    rows = runs.to_dict()["processors"]
    assert [row["confidence"] for row in rows] == [None] * 6
    assert [row["loss_increase"] for row in rows] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_confidence_is_the_share_of_runs_that_keep_a_processor(tmp_path) -> None:
    first, second, third = KEPT[0], KEPT[1], KEPT[2]
    runs = read_runs(
        [
            (0, write_run(tmp_path / "run_0", (first,), 0.6)),
            (1, write_run(tmp_path / "run_1", (second,), 0.5, increases=False)),
            (2, write_run(tmp_path / "run_2", (first, third), 0.7)),
        ]
    )
    assert runs.best == 1
    graph = runs.graphs[1]
    labels = [graph.label(i) for i in graph.processors]
    assert second not in labels
    assert dict(zip(labels, runs.confidence, strict=True)) == pytest.approx(
        dict.fromkeys(KEPT[3:], 1.0) | {first: 1 / 3, third: 2 / 3}
    )
    # Pairs share 6, 6 and 5 processors of 7 + 7, 7 + 6 and 7 + 6.
    assert runs.agreement == pytest.approx((12 / 14 + 12 / 13 + 10 / 13) / 3)
    record = runs.to_dict()
    assert (record["best_run"], record["losses"], record["runs"]) == (1, [0.6, 0.5, 0.7], [0, 1, 2])
    assert [row["loss_increase"] for row in record["processors"]] == [None] * 7


@pytest.mark.parametrize(
    ("losses", "drops", "best"),
    [
        ((0.5, 0.4), (0, 0), 1),
        ((0.5, 0.5), (1, 2), 1),  # of equal ones that with fewest processors
        ((0.5, 0.5), (2, 2), 0),
        ((None, 0.9), (2, 0), 1),
    ],
)
def test_the_run_with_the_lowest_loss_is_the_sample(losses, drops, best, tmp_path) -> None:
    runs = read_runs(
        [
            (run, write_run(tmp_path / str(run), KEPT[:drop], loss))
            for run, (loss, drop) in enumerate(zip(losses, drops, strict=True))
        ]
    )
    assert runs.best == best
    assert [math.isfinite(loss) for loss in runs.losses] == [loss is not None for loss in losses]
    json.dumps(runs.to_dict(), allow_nan=False)


def test_runs_are_needed() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        read_runs([])


def test_results_by_another_front_end_are_judged_by_their_second_opinion(tmp_path) -> None:
    opinion = SecondOpinion("mel", 1.6, 0.7, 0.8)
    write_run(tmp_path / "run", loss=1.1, windows=(1.1, 1.1, 1.1, 1.32), front_end="nsgt", second_opinion=opinion)
    measured = measure(tmp_path / "run", read_metrics(tmp_path / "run"))
    assert (measured.loss, measured.loss_ratio) == (0.8, 0.5)
    assert measured.loss_change == pytest.approx(0.2)  # within its own front end
    write_run(tmp_path / "alone", loss=1.1, front_end="nsgt")
    with pytest.warns(UserWarning, match="max_loss is in units of the front end mel, and the metrics have the loss by"):
        assert measure(tmp_path / "alone", read_metrics(tmp_path / "alone")).loss == 1.1
