"""A real headless Chromium, and pages that it opens from disk."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mixgraph.graph import build_console
from mixgraph.graph.edit import prune
from mixgraph.graph.io import parameters_to_bytes, save_graph
from mixgraph.graph.records import node_letter
from mixgraph.losses import SongScore
from mixgraph.processors import make_processors
from mixgraph.results.metrics import Losses, Metrics, ProcessorCounts, SongFacts, TrackReading, write_metrics
from mixgraph.songs import write_audio
from tools.bench.page import FLAGS, write_engine_page

RATE = 8000


def _chromium() -> str:
    """Returns the path of the browser; where there is none, tests are skipped, and fail in continuous integration."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        import playwright  # noqa: F401
    except ImportError:
        path = None
    if path is None:
        reason = "chromium and playwright are needed for tests of the page"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests of a session."""
    path = _chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """open_page(path): the page of a file; errors in its console and requests outside it fail the test at its end."""
    yield from _opening(browser)


@pytest.fixture(scope="module")
def engine_page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page with the engine alone, for all tests of a module; its errors fail the last of them."""
    opening = _opening(browser)
    yield next(opening)(write_engine_page(tmp_path_factory.mktemp("engine") / "page.html"))
    next(opening, None)


def _opening(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """What `open_page` yields."""
    pages, errors = [], []

    def opened(path: Path) -> Any:
        page = browser.new_page()
        pages.append(page)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: _note(request.url, path, errors))
        page.goto(path.resolve().as_uri())
        return page

    yield opened
    for page in pages:
        page.close()
    assert errors == []


@pytest.fixture
def wait() -> Callable[[Any, str], None]:
    """wait(page, condition) until JavaScript is true; Playwright's own way evaluates text, which pages refuse."""

    def until(page: Any, condition: str) -> None:
        for _ in range(200):
            if page.evaluate(condition):
                return
            page.wait_for_timeout(50)
        raise AssertionError(condition)

    return until


def _note(url: str, path: Path, errors: list[str]) -> None:
    if not url.startswith(("data:", "blob:")) and url != path.resolve().as_uri():
        errors.append(f"request: {url}")


@pytest.fixture
def write_result() -> Callable[..., Path]:
    """write_result(folder, drop, ...): a result folder of a console whose tracks lack the types in `drop`."""
    return _write_result


def _write_result(
    folder: Path,
    drop: str = "",
    loss: float = 0.5,
    tracks: tuple[str, ...] = ("kick", "lead"),
    settings: dict[str, Any] | None = None,
    mix_hash: str = "a" * 64,
    audio: bool = True,
    title: str = "A song",
    rate: int = RATE,
) -> Path:
    """Nothing is searched for: `drop` are the letters of the types that are pruned from tracks."""
    folder.mkdir(parents=True)
    console = build_console({"all": tracks}, "ecgd", "r", name="song")
    kept = [
        node
        for node in console.processors
        if console.level(node) != "track" or node_letter(console.types[node]) not in drop
    ]
    graph, _ = prune(console, kept)
    generator = torch.Generator().manual_seed(len(drop))
    processors = make_processors(rate)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.3) for t, n in graph.count().items()}
    weights = torch.full((len(graph.processors),), 0.5)
    save_graph(folder / "graph.json", graph, weights, sample_rate=rate)
    (folder / "parameters.safetensors").write_bytes(parameters_to_bytes(parameters, weights))
    dry, found = (SongScore({"full": x}, {"full": x}, (x, x), (x, x), rate) for x in (1.5, loss))
    before, after = console.count(), graph.count()
    write_metrics(
        folder,
        Metrics(
            song=SongFacts("song", title, "CC0 1.0"),
            sample_rate=rate,
            num_samples=2 * rate,
            level=1.0,
            tracks=tuple(TrackReading(name, 0, 1, False) for name in tracks),
            file_hashes={"mix.flac": mix_hash} | {f"{name}.flac": "b" * 64 for name in tracks},
            steps=3,
            planned_steps=3,
            losses=Losses(dry, found, found),
            tolerance=(settings or {}).get("tolerance", 0.01),
            denominator="target",
            within_tolerance=True,
            num_processors=ProcessorCounts(len(console.processors), len(graph.processors)),
            pruning_ratio=1 - len(graph.processors) / len(console.processors),
            pruning_ratio_by_type={t: 1 - after.get(t, 0) / n for t, n in before.items()},
            num_processors_by_type={t: after.get(t, 0) for t in before},
            num_console_processors_by_type=dict(before),
        ),
    )
    pruning = {"sampler": "hybrid", "tolerance": 0.01} | (settings or {})
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed_everything": 1, "pruning": pruning, "data": {}}))
    (folder / "timings.json").write_text('{"total_seconds": 90}')
    if audio:
        time = torch.arange(2 * rate) / rate
        for name, hertz in (("mix_target", 440.0), ("mix_found", 440.0 * (1 + len(drop)))):
            write_audio(folder / f"{name}.flac", 0.25 * torch.sin(2 * torch.pi * hertz * time).expand(2, -1), rate)
    return folder
