"""What a sweep file may hold, and the values that a grid, chance and Optuna take for its parameters."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mixgraph.losses import SongScore
from mixgraph.results.metrics import Losses, Metrics, ProcessorCounts, SongFacts, write_metrics
from mixgraph.sweeps.figures import LOSS, RATIO, read_figures
from mixgraph.sweeps.folder import SweepFolder, Trial, TrialJob
from mixgraph.sweeps.space import Choice, Range, draws, grid
from mixgraph.sweeps.sweep_file import Bands, Metric, read_sweep
from mixgraph.sweeps.table import csv_text, markdown, pareto_front, summary, winner, write_tables

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))
GOOD = """\
program: mixgraph
method: grid
metric: {name: search/found_loss, goal: minimize}
parameters:
  pruning.sampler: {values: [brute_force, dry_wet]}
  pruning.tolerance:
    values:
      - 0.01
      - 0.1
command: ["${interpreter}", -m, "${program}", fit, --config, demo.yaml, "${args}"]
"""
SAMPLERS = "{values: [brute_force, dry_wet]}"


def write(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in GOOD
    path = folder / "sweep.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_files_that_come_along_can_be_read(path: Path) -> None:
    sweep = read_sweep(path)
    assert sweep.words[:2] == ("fit", "--config")
    assert sweep.content == yaml.safe_load(path.read_text())


def test_a_good_file(tmp_path: Path) -> None:
    sweep = read_sweep(write(tmp_path))
    assert (sweep.method, sweep.metric) == ("grid", Metric("search/found_loss", "minimize"))
    assert sweep.words == ("fit", "--config", "demo.yaml")
    assert [parameter.name for parameter in sweep.parameters] == ["pruning.sampler", "pruning.tolerance"]
    assert sweep.parameters[1].probes() == [(0.01, 8), (0.1, 9)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- 0.1\n", "- null\n", r"9: parameters.pruning.tolerance.values: a value is needed, got null. HINT"),
        ("method: grid", "method:", r"2: method: a value is needed, got null"),
        (SAMPLERS, "", r"5: parameters.pruning.sampler: a value is needed, got null"),
        ("[brute_force, dry_wet]", "[]", r"5: parameters.pruning.sampler: at least one value is"),
        ("- 0.1\n", "- 0.01\n", r"9: .*: values that differ are needed, got 0.01 twice"),
        ("method: grid", "method: gird", r"2: method: one of grid, random, bayes .*'gird'. HINT: .*grid\?"),
        ("parameters:", "paramters:", r"4: paramters: no part of a sweep .* HINT: did you mean parameters\?"),
        ("goal: minimize", "goal: least", r"3: goal: one of minimize, maximize is needed, got 'least'"),
        ("goal: minimize", "gaol: minimize", r"3: metric.gaol: there are name, goal. HINT: did you mean goal"),
        ("program: mixgraph", "program: train.py", r"1: program: mixgraph is needed, got 'train.py'"),
        (" fit,", " render,", r"10: command: \$\{program\}, then fit, then options and \$\{args\}"),
        ('fit, --config, demo.yaml, "${args}"', "fit", r"10: command: .*\$\{args\}, are needed"),
        ("demo.yaml", '"${envvar:HOME}"', r"10: command: \$\{envvar:HOME\} asks for the environment. HINT: --allow"),
        ("fit,", "fit, --import, evil,", "10: command: --import: a file does not say whom you trust"),
        ("fit,", "fit, --import=evil,", "10: command: --import=evil: a file does not say whom you trust"),
        ("fit,", "fit, --allow-env,", "10: command: --allow-env: a file does not say whom you trust"),
        ("  pruning.sampler:", "  import:", "5: parameters.import: import: a file does not say whom you trust"),
        (SAMPLERS, "{min: 1, max: 9, q: 0, distribution: q_uniform}", r"5: .*\.q: a number above 0 is needed, got 0"),
        (SAMPLERS, "{min: 0.0, max: 1.0}", "5: .*: a grid has an end, and this"),
        (SAMPLERS, "{min: 1e-3, max: 1.0}", r"5: .*\.min: .*'1e-3'. HINT: .*1\.0e-3"),
        (SAMPLERS, "{min: 3, max: 1}", "5: .*: min below max is needed, got 3 and 1"),
        (SAMPLERS, "{min: 3}", r"5: .*: values: \[...\], value: ..., or min and max"),
        (SAMPLERS, "{vlaues: [1]}", "5: .*vlaues: there are .* did you mean value"),
        (SAMPLERS, "{parameters: {}}", "5: .*parameters in parameters are not read"),
        (SAMPLERS, "{min: 0.0, max: 1.0, distribution: beta}", "5: distribution: one"),
        (SAMPLERS, "{min: 0.1, max: 0.9, q: 1.0, distribution: q_uniform}", "5: .*no multiple of 1"),
        ("  pruning.tolerance:", "  pruning.sampler:", "6: parameters.pruning.sampler: stands twice"),
        ("  pruning.sampler:", "  result.path:", "5: parameters.result.path: each trial has its own"),
        ("command:", "early_terminate: {type: hyperband}\ncommand:", "10: early_terminate: either min_iter or"),
        ("command:", "run_cap: 0\ncommand:", "10: run_cap: a whole number from 1 is needed, got 0"),
        ("method: grid", "method: [grid", r"\d+: YAML is needed"),
        ("method: grid", "method: !!int ' 1" + ":1" * 400_000 + "'", " readable YAML expected, got a number of more"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"sweep.yaml:{message}"):
        read_sweep(write(tmp_path, old, new))


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "goal: minimize", "goal: least")
    path.write_text(path.read_text().replace("- 0.1\n", "- null\n"))
    with pytest.raises(ValueError, match=r"sweep.yaml:3: [^\n]*\n[^\n]*sweep.yaml:9: [^\n]*$"):
        read_sweep(path)


def test_the_environment_is_seen_where_the_user_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_CONFIGURATION", "demo.yaml")
    path = write(tmp_path, "demo.yaml", '"${envvar:A_CONFIGURATION}"')
    assert read_sweep(path, allow_env=True).words == ("fit", "--config", "demo.yaml")
    monkeypatch.delenv("A_CONFIGURATION")
    with pytest.raises(ValueError, match="10: command: the variable A_CONFIGURATION of the environment is not set"):
        read_sweep(path, allow_env=True)


@pytest.mark.parametrize(
    ("text", "bands"),
    [
        ("{type: hyperband, min_iter: 2}", Bands(2, 3)),
        ("{type: hyperband, min_iter: 4, eta: 2, strict: true}", Bands(4, 2)),
        ("{type: hyperband, max_iter: 27, s: 2}", Bands(3, 3)),
    ],
)
def test_hyperband_says_when_trials_are_compared(text: str, bands: Bands, tmp_path: Path) -> None:
    assert read_sweep(write(tmp_path, "command:", f"early_terminate: {text}\ncommand:")).bands == bands


def test_a_grid_is_every_combination_and_the_last_parameter_changes_fastest() -> None:
    space = (Choice("a", 1, ("x", "y"), (1, 1)), Range("b", 2, 1, 2, whole=True), Range("c", 3, 0.0, 0.5, step=0.25))
    combinations = [tuple(values.values()) for values in grid(space)]
    assert combinations[:4] == [("x", 1, 0.0), ("x", 1, 0.25), ("x", 1, 0.5), ("x", 2, 0.0)]
    assert len({*combinations}) == len(combinations) == 12


def test_multiples_of_a_whole_number_are_whole(tmp_path: Path) -> None:
    """`--data.steps_per_stage=20.0` is refused by `fit`, and would be in every trial."""
    (steps, _) = read_sweep(write(tmp_path, SAMPLERS, "{min: 5, max: 35, q: 10, distribution: q_uniform}")).parameters
    assert repr(steps.listed()) == "[10, 20, 30]"
    assert steps.probes() == [(10, 5), (30, 5)]
    assert {repr(values["pruning.sampler"]) for values in draws([steps], 0)} == {"10", "20", "30"}


def test_chance_stays_within_its_bounds() -> None:
    narrow = Range("a", 1, 0.12345678, 0.12345679)
    drawn = [values["a"] for values, _ in zip(draws([narrow], 0), range(2), strict=False)]
    assert drawn == [narrow.high]  # 0.123457, to six digits


def test_chance_depends_on_the_seed_and_the_number_of_the_trial_alone() -> None:
    space = (
        Choice("a", 1, ("x", "y"), (1, 1), (0.9, 0.1)),
        Range("b", 2, 1, 1000, whole=True, log=True),
        Range("c", 3, 1e-4, 1.0, log=True),
        Range("d", 4, 0.0, 1.0, step=0.25),
    )
    first = [values for values, _ in zip(draws(space, 3), range(400), strict=False)]
    assert first == [values for values, _ in zip(draws(space, 3), range(400), strict=False)]
    assert first[:5] != [values for values, _ in zip(draws(space, 4), range(5), strict=False)]
    assert sum(values["a"] == "x" for values in first) == pytest.approx(360, abs=25)  # 4 standard deviations
    assert all(isinstance(values["b"], int) and 1 <= values["b"] <= 1000 for values in first)
    # Half of the numbers are below the geometric mean of the bounds; 80 is 8 standard deviations.
    assert sum(values["c"] < 1e-2 for values in first) == pytest.approx(200, abs=40)
    assert {values["d"] for values in first} == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_chance_takes_nothing_twice_and_ends_where_nothing_is_left() -> None:
    space = (Choice("a", 1, ("x", "y"), (1, 1)), Range("b", 2, 1, 3, whole=True))
    assert sorted(tuple(values.values()) for values in draws(space, 0)) == sorted(
        tuple(values.values()) for values in grid(space)
    )


def search(number: int, loss: float, ratio: float, again: bool = False, seed: int = 42) -> Trial:
    figures = {LOSS: loss, RATIO: ratio, "console_loss": 0.5, "processors": 10 * (1 - ratio), "console_processors": 10}
    return Trial(TrialJob(number, seed, {"a.x": number, "a.y": "same"}, again), "done", loss, figures, None, 90.0)


def test_the_winner_and_the_front() -> None:
    loss, ratio = Metric(LOSS, "minimize"), Metric(RATIO, "maximize")
    trials = [search(0, 0.5, 0.8), search(1, 0.4, 0.5), search(2, 0.6, 0.7), search(3, 0.3, 0.1), search(4, 0.4, 0.4)]
    assert winner(trials, loss) is trials[3]
    assert [trial.job.number for trial in pareto_front(trials)] == [3, 1, 0]
    lucky = search(3, 0.1, 0.9, again=True, seed=43)  # would be the only one on the front
    assert pareto_front([*trials, lucky]) == pareto_front(trials)
    by_ratio = [Trial(t.job, t.state, t.figures[RATIO], t.figures) for t in trials]
    assert winner(by_ratio, ratio) is by_ratio[0]
    assert winner([search(1, 0.1, 0.5, again=True)], loss) is None


def test_the_tables(tmp_path: Path) -> None:
    metric = Metric(LOSS, "minimize")
    stopped = Trial(TrialJob(2, 42, {"a.x": 2, "a.y": "same"}), "stopped", math.inf, {}, 6)
    trials = [
        search(0, 0.5, 0.8),
        search(1, 0.4, 0.5),
        search(1, 0.5, 0.5, True, 43),
        search(1, 0.6, 0.5, True, 44),
        stopped,
    ]
    text = markdown(trials, metric, [])
    assert text.splitlines()[0] == (
        "| trial | x | seed | trained console | loss | processors | pruning ratio | minutes | state |"
    )
    assert text.splitlines()[2] == "| 1 | 1 | 42 | 0.500 | 0.400 | 10 → 5 | 0.50 | 1.5 | done |"
    assert text.splitlines()[6] == "| 2 | 2 | 42 | - | inf | - | - | - | stopped after 6 |"
    rows = csv_text(trials, metric).splitlines()
    assert rows[0] == (
        "trial,seed,a.x,a.y,search/found_loss,search/pruning_ratio,console_loss,processors,console_processors,"
        "seconds,state,stages"
    )
    assert rows[-1] == "2,42,2,same,,,,,,,stopped,6"
    content = summary(trials, metric, {"trial_003": "no"})
    assert (content["winner"], content["pareto_front"]) == ("trial_001", ["trial_001", "trial_000"])
    assert content["seeds"] == (
        "Trial 1 with 3 seeds: search/found_loss 0.5 on average, standard deviation 0.1, from 0.4 to 0.6."
    )
    json.dumps(content["trials"][0])
    drawn = Trial(TrialJob(4, 42, {"a.x": 0.012520653814999465, "a.y": "same"}), "stopped", 0.5, {}, 6)
    assert markdown([search(0, 0.5, 0.8), drawn], metric, []).splitlines()[3].startswith("| 4 | 0.0125207 | 42 |")
    assert "0.012520653814999465" in csv_text([drawn], metric)
    write_tables(tmp_path, trials, metric, {"trial_003": "1 problem\n- no audio"})
    assert (tmp_path / "trials.md").read_text().endswith("\n\ntrial_003 failed: 1 problem - no audio\n")
    by_ratio = Trial(TrialJob(3, 42, {"a.x": 3, "a.y": "same"}), "stopped", 0.25, {}, 6)
    row = markdown([search(0, 0.5, 0.8), by_ratio], Metric(RATIO, "maximize"), []).splitlines()[3]
    assert row == "| 3 | 3 | 42 | - | - | - | 0.25 | - | stopped after 6 |"


def test_a_search_whose_training_broke_down_has_no_figures(tmp_path: Path) -> None:
    score = SongScore({"full": 0.5}, {"full": 0.5}, (0.5,), (0.5,), 8000)
    whole = Metrics(
        sample_rate=8000,
        num_samples=16000,
        level=1.0,
        tracks=(),
        file_hashes={},
        song=SongFacts("a", "a", "CC0"),
        steps=1,
        planned_steps=1,
        losses=Losses(score, score, score),
        tolerance=None,
        denominator="target",
        within_tolerance=None,
        num_processors=ProcessorCounts(8, 2),
        pruning_ratio=0.75,
    )
    loss = Metric(LOSS, "minimize")
    write_metrics(tmp_path, whole)
    assert read_figures(tmp_path, loss)[RATIO] == 0.75
    write_metrics(tmp_path, replace(whole, failure="training broke down"))
    with pytest.raises(ValueError, match="training broke down"):
        read_figures(tmp_path, loss)


def test_a_damaged_record_of_a_trial_is_refused_by_its_path(tmp_path: Path) -> None:
    folder, job = SweepFolder(tmp_path, Metric(LOSS, "minimize")), TrialJob(0, 42, {"a.x": 1})
    path = tmp_path / "trials" / "trial_000" / "job.json"
    path.parent.mkdir(parents=True)
    stopped = job.record("") | {"state": "stopped", "seconds": None, "reports": [[2, 0.5], [6, None]]}
    path.write_text(json.dumps(stopped))
    assert folder.read(job) == Trial(job, "stopped", math.inf, {}, 6)
    reports = ([], 7, [[math.inf, 0.5]], [[1, 10**400]])
    for text in ("{", "[]", "7", "{}", *(json.dumps(stopped | {"reports": wrong}) for wrong in reports)):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"trial_000/job\.json: is damaged .* HINT: remove"):
            folder.read(job)
    path.write_text(json.dumps(stopped | {"seed": 43}))
    with pytest.raises(ValueError, match=r"trial_000: its seed differs from the sweep's"):
        folder.read(job)
    (tmp_path / "record.json").write_text("7")
    with pytest.raises(ValueError, match=r"record\.json: is damaged .* HINT: another --out"):
        folder.saved_record()
