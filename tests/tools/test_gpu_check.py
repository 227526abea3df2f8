"""The check of a GPU runs, in small and on the CPU; and whatever goes wrong in it becomes a row of its table."""

import ast
import json
import os
import subprocess
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path

import pytest
import torch

from tools import gpu_check
from tools.bench.machine import ROOT
from tools.gpu import parent, plan, report
from tools.gpu import section as section_process
from tools.gpu.context import Context, Unavailable, reason_of
from tools.gpu.parent import Check, Options, run_process
from tools.gpu.plan import NAMES, PACKAGES, SECTIONS, Section, missing_packages
from tools.gpu.report import JSON, MARKDOWN, Ran, to_markdown
from tools.gpu.rows import Row, RowFile


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, list[Row]]:
    """What each section measures in small, without a process for each."""
    rows_of_sections = {}
    for section in SECTIONS:
        file = RowFile(tmp_path_factory.mktemp("rows") / "rows.jsonl")
        context = Context(section.name, "cpu", True, file, 600.0)
        with warnings.catch_warnings(), context.part("all of the section"):
            warnings.simplefilter("ignore")  # as its process does
            import_module(f"tools.gpu.{section.module}").run(context)
        rows_of_sections[section.name] = file.read()
    return rows_of_sections


@pytest.mark.long
def test_every_section_measures_in_small(rows) -> None:
    assert [row for section_rows in rows.values() for row in section_rows if row.status == "failed"] == []
    skipped = {row.reason for section_rows in rows.values() for row in section_rows if row.status == "skipped"}
    assert {reason.split(" (")[0].split(";")[0] for reason in skipped} <= {
        "on a GPU only",
        "takes too long for a small run",
        "grafx is not installed",
    }
    measured = {name for name, section_rows in rows.items() if any(row.status == "ok" for row in section_rows)}
    assert measured >= set(NAMES) - {"graphs", "peer"}
    values = {row.name: row.value for section_rows in rows.values() for row in section_rows}
    assert values["demo: gradients of a step, float64"] == 0  # the same device on both sides
    assert values["demo: processors that a round removes on one device only"] == 0
    assert values["24 tracks, 30% left: processors"] == 8
    seconds = [row for section_rows in rows.values() for row in section_rows if row.unit in ("s", "ms", "songs/min")]
    assert len(seconds) > 25
    assert all(row.value > 0 for row in seconds)


@pytest.mark.long
def test_from_the_command_line_without_an_install(tmp_path) -> None:
    command = [sys.executable, "tools/gpu_check.py", "--quick", "--sections", "steps", "--out", str(tmp_path / "out")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / JSON).read_text())
    assert [section["name"] for section in results["sections"]] == ["steps"]
    assert results["about"]["torch"] == torch.__version__
    assert results["about"]["python"] == sys.version.split()[0]
    assert results["about"]["error"] == ""
    assert {"section", "name", "value", "unit", "goal", "status", "reason"} <= set(results["rows"][0])
    assert done.stdout == (tmp_path / "out" / MARKDOWN).read_text()
    assert "| 24 tracks, 30% left: step, float32 | " in done.stdout
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["log.txt", JSON, MARKDOWN]


def check(tmp_path, *names, device="cpu", minutes=8.0, report_line=lambda line: None) -> Check:
    return Check(Options(tmp_path, device, True, minutes, names), report_line)


def instead(monkeypatch, script, limit=600.0) -> None:
    """Runs a script in place of a section's process; the file of its rows is its argument."""

    def run(command, seconds, log, while_waiting=lambda: None):
        if "tools.gpu.section" in command:
            command, seconds = [sys.executable, "-c", script, command[command.index("--out") + 1]], limit
        return run_process(command, seconds, log, while_waiting)

    monkeypatch.setattr(parent, "run_process", run)


ROW = json.dumps({"section": "peer", "name": "before", "value": 2.0})


@pytest.mark.long
def test_a_section_that_hangs_is_killed_with_what_it_started_and_keeps_its_rows(tmp_path, monkeypatch) -> None:
    child = tmp_path / "child"
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
        f"open(sys.argv[1], 'w').write({ROW!r} + '\\n' + '{{\"torn')\n"
        "time.sleep(600)\n"
    )
    instead(monkeypatch, script, limit=3.0)
    monkeypatch.setattr(parent, "_LOOK_SECONDS", 0.2)
    written = []
    monkeypatch.setattr(parent, "write", lambda out, about, ran: written.append(report.write(out, about, ran)))
    run = check(tmp_path / "out", "peer")
    started = time.monotonic()
    run.run()
    assert time.monotonic() - started < 60
    results = json.loads((tmp_path / "out" / JSON).read_text())
    assert [(row["name"], row["status"], row["reason"]) for row in results["rows"]] == [
        ("before", "ok", ""),
        ("all of the section", "failed", "killed after 3 s, its limit"),
    ]
    assert not run.well
    assert written[0].startswith("# GPU check")  # the machine, before the first section
    assert "still running" in written[1]  # results are there before the section has ended
    pid = int(child.read_text())
    for _ in range(50):
        if not alive(pid):
            break
        time.sleep(0.1)
    assert not alive(pid)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its process was ended by SIGSEGV"),
        ("raise SystemExit(7)", "its process ended with 7"),
    ],
)
def test_a_section_that_crashes_is_a_row_and_the_rest_runs(tmp_path, monkeypatch, script, reason) -> None:
    instead(monkeypatch, script)
    lines = []
    run = check(tmp_path, "songs", "peer", report_line=lines.append)
    run.run()
    assert [(part.section.name, part.status, part.reason) for part in run.ran] == [
        ("songs", "failed", reason),
        ("peer", "failed", reason),
    ]
    assert lines[-1].startswith("peer: 1 rows, 1 failed")


def test_no_section_takes_the_time_of_those_after_it(tmp_path, monkeypatch) -> None:
    """Were each to use all that it is given, every one would still have what is kept for it."""
    run = Check(Options(tmp_path, "cpu", False, 8.0, NAMES), lambda line: None)
    left = 60 * 8.0 - 20  # of which the probe took some
    for section in SECTIONS:
        limit = run._share(section, left)
        assert limit >= 0.9 * section.seconds
        left -= limit
    assert left == pytest.approx(0, abs=1e-6)
    assert run._share(SECTIONS[-1], 100.0) == 100  # what the others left
    assert run._share(SECTIONS[3], 20.0) == 20
    assert sum(section.seconds for section in SECTIONS) == 60 * plan.MINUTES


def test_what_imports_take_is_not_left_for_a_section(tmp_path, monkeypatch) -> None:
    seconds_left = []
    monkeypatch.setattr(sys, "argv", ["section", "peer", "--out", str(tmp_path / "rows"), "--device", "cpu", "--until"])
    sys.argv.append(str(time.monotonic() + 100))
    monkeypatch.setattr("tools.bench.speed.worker.end_with_parent", lambda: None)
    monkeypatch.setattr("tools.gpu.peer.run", lambda context: seconds_left.append(context.left))
    with warnings.catch_warnings():
        section_process.main()
    assert 80 < seconds_left[0] < 96


@pytest.mark.parametrize("name", ["file/out", "file"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_starts(tmp_path, name, capsys) -> None:
    (tmp_path / "file").touch()
    assert gpu_check.main(["--quick", "--out", str(tmp_path / name)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("--out: nothing can be written there: ")
    assert printed.count("\n") == 1


@pytest.mark.long
def test_a_check_that_is_interrupted_keeps_what_was_measured(tmp_path, monkeypatch, capsys) -> None:
    def interrupted(command, limit, log, while_waiting=lambda: None):
        if "tools.gpu.section" in command:
            Path(command[command.index("--out") + 1]).write_text(ROW + "\n")
            raise KeyboardInterrupt
        return run_process(command, limit, log, while_waiting)

    monkeypatch.setattr(parent, "run_process", interrupted)
    assert gpu_check.main(["--quick", "--out", str(tmp_path / "out")]) == 130
    assert [row["name"] for row in json.loads((tmp_path / "out" / JSON).read_text())["rows"]] == ["before"]
    assert "interrupted; what was measured until then is in" in capsys.readouterr().err


@pytest.mark.long
def test_sections_without_time_and_without_a_gpu_say_so(tmp_path) -> None:
    run = check(tmp_path, "steps", "peer", minutes=0.01)
    run.run()
    assert [(part.section.name, part.status, part.reason) for part in run.ran] == [
        ("steps", "skipped", "no time left"),
        ("peer", "skipped", "no time left"),
    ]
    assert not run.well  # nothing was measured


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_every_section_is_skipped(tmp_path) -> None:
    run = check(tmp_path, *NAMES, device="cuda")
    text = run.run()
    assert [part.section.name for part in run.ran] == list(NAMES)
    assert all(part.status == "skipped" and part.reason.startswith("no GPU: ") for part in run.ran)
    assert text.count("| skipped | no GPU: ") == len(NAMES)
    assert not run.well


def test_missing_and_old_packages_are_named_before_anything_starts(tmp_path, monkeypatch, capsys) -> None:
    assert missing_packages() == []
    monkeypatch.setattr(plan, "PACKAGES", PACKAGES | {"no_such_package": "no-such-package"})
    monkeypatch.setattr(plan, "LEAST_TORCH", (99, 0))
    assert gpu_check.main(["--quick", "--out", str(tmp_path / "out")]) == 2
    printed_lines = capsys.readouterr().err.splitlines()
    assert printed_lines[0] == "no-such-package is needed and is not installed. HINT: pip install no-such-package"
    assert printed_lines[1].startswith("torch 99.0 or newer is needed, got 2.")
    assert len(printed_lines) == 2
    assert not (tmp_path / "out").exists()


def imported(name: str, modules: set[str]) -> None:
    """Adds all modules that a module of the repository imports, and those that they import."""
    path = ROOT / f"{name.replace('.', '/')}.py"
    path = path if path.exists() else ROOT / name.replace(".", "/") / "__init__.py"
    if not path.exists():
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # The packages beside mixgraph have no packages in them, so that a relative import is of a sibling.
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            module = f"{package}.{node.module}" if node.level else node.module
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module_name in names:
            if module_name not in modules:
                modules.add(module_name)
                imported(module_name, modules)


OPTIONAL = {
    "grafx",  # the peer; its section says where it is missing
    "einops",
    "librosa",
    "pytest",
    "torch_geometric",
}


def test_all_that_sections_import_is_asked_for() -> None:
    modules: set[str] = set()
    for section in SECTIONS:
        imported(f"tools.gpu.{section.module}", modules)
    roots = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert roots - OPTIONAL <= {"mixgraph", "callbacks", "datamodules", "tools", *PACKAGES}


@pytest.fixture
def context(tmp_path) -> Context:
    return Context("steps", "cpu", True, RowFile(tmp_path / "rows.jsonl"), 60.0)


def fails(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RuntimeError("CUDA driver version is\ninsufficient"), "failed", "RuntimeError: CUDA driver version is"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), "skipped", "OutOfMemoryError: CUDA out of memory."),
        (Unavailable("on a GPU only"), "skipped", "on a GPU only"),
    ],
)
def test_what_goes_wrong_in_a_part_is_a_row_and_the_rest_runs(context, error, status, reason) -> None:
    with context.part("a part"):
        context.add("before", 1.0, "s")
        fails(error)
    context.bounded("after", 1.0, 2.0)
    context.bounded("above", 3.0, 2.0)
    context.bounded("no number", float("nan"), 2.0)
    rows = [(row.name, row.status, row.reason) for row in context.rows.read()]
    assert rows == [
        ("before", "ok", ""),
        ("a part", status, reason),
        ("after", "ok", ""),
        ("above", "failed", "above its bound"),
        ("no number", "failed", "above its bound"),
    ]


def test_a_reason_names_the_line_of_the_library_and_the_first_error() -> None:
    from mixgraph.dsp.fourier import real_fft

    with pytest.raises(ValueError, match="n_fft") as error_info:
        real_fft(torch.zeros(4), 3)
    assert reason_of(error_info.value).startswith(
        "ValueError: n_fft: even and at least 4, got 3 (mixgraph/dsp/fourier.py:"
    )
    chained = RuntimeError("capture cannot be ended")
    chained.__context__ = RuntimeError("not permitted when stream is capturing")
    assert reason_of(chained) == (
        "RuntimeError: not permitted when stream is capturing; then RuntimeError: capture cannot be ended"
    )


def test_results_name_no_folder_of_the_machine(context) -> None:
    with context.part("a part"):
        (ROOT / "no_such_file").read_bytes()
    (row,) = context.rows.read()
    assert row.reason.endswith("'no_such_file'")
    assert str(ROOT) not in "".join(row.details)


def test_rows_of_a_file_that_is_being_written(tmp_path) -> None:
    file = RowFile(tmp_path / "rows.jsonl")
    assert file.read() == []
    whole = [Row("steps", "a step", 1.5, "ms", details={"min": float("nan")}), Row("steps", "other", status="skipped")]
    for row in whole:
        file.append(row)
    with file.path.open("a") as text:
        text.write('{"section": "steps", "na')
    assert [row.name for row in file.read()] == ["a step", "other"]
    assert file.read()[0].details == {"min": None}


def test_the_table_escapes_what_markdown_reads() -> None:
    section = Section("steps", "steps", 60, "Steps")
    row = Row("steps", "a | b", 0.000123456, "s", "at most 1", "failed", "one\ntwo")
    text = to_markdown({"device": "card", "error": ""}, [Ran(section, "ok", 1.0, 60.0, "", (row,))])
    assert "| a \\| b | 0.0001235 | s | at most 1 | failed | one two |" in text
    assert "0 ok, 1 failed, 0 skipped" in text


@pytest.mark.parametrize("arguments", [["--minutes", "0"], ["--minutes", "nan"], ["--sections", "all"], []])
def test_wrong_arguments_are_refused(arguments, tmp_path, capsys) -> None:
    out = ["--out", str(tmp_path)] if arguments else []
    with pytest.raises(SystemExit) as stop:
        gpu_check.parse([*arguments, *out])
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].partition("error: ")[2]
