"""A real headless Chromium, and pages that it opens from disk."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.bench.page import FLAGS


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
