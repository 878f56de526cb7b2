"""The local stack, as `make start` runs it, and a browser, shared by all tests here."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from infra.local.stack import Stack
from tests.support.e2e.browser import BROWSER, DRIVER, chromium


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A running stack on free ports, with small ranges, so that files have several."""
    settings = {"RANGE_BYTES": "1000000", "RANGES_PER_ACTIVITY": "2"}
    with Stack(settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A real browser; without one its tests are skipped."""
    if not (BROWSER and DRIVER):
        pytest.skip("Chromium and ChromeDriver are not installed. Install them: make browser")
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running
