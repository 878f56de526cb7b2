"""A real Chromium, and the monitor page in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.remote.webelement import WebElement

from infra.local.stack import APP_FOLDER
from tests.support.e2e.api import Api
from tests.support.waiting import until

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
# Kept after the tests.
SHOTS = APP_FOLDER / ".local" / "screenshots"

_AXE = APP_FOLDER / "infra/local/node_modules/axe-core/axe.min.js"
# In one script: the page may render again between two calls.
_VISIBLE = "[...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility())"
_OVERFLOWING = """
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const out = (each) => each.getBoundingClientRect().right > width;
  return [...document.querySelectorAll('main *')].filter(out).map((each) => each.outerHTML);
"""
_WIDE, _PHONE = (1_200, 900), (390, 844)
# Without them Chromium connects to servers of its vendor.
_OFFLINE = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """A headless browser with an empty profile."""
    options = ChromeOptions()
    options.binary_location = BROWSER or ""
    # Without a sandbox, since containers often run as root; it loads only this page.
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    for flag in [*flags, *_OFFLINE, f"--user-data-dir={profile}", "--force-prefers-reduced-motion"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page of a running stack, in a browser."""

    def __init__(self, driver: Chrome, api: Api) -> None:
        self.driver = driver
        self.api = api

    def open(self, fragment: str = "") -> None:
        """Load the page in a tab without a key, and enter the key."""
        self.load(fragment)
        self.driver.execute_script("sessionStorage.clear()")
        self.load(fragment)
        self.see("#key").send_keys(self.api.stack.info.function_key)
        self.press("Open")

    def load(self, fragment: str = "") -> None:
        """Load the page without a change of the tab."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.api.url}/monitor{fragment}")

    def all(self, selector: str) -> list[WebElement]:
        """The visible elements that match."""
        found: list[WebElement] = self.driver.execute_script(f"return {_VISIBLE}", selector)
        return found

    def texts(self, selector: str) -> list[str]:
        """The texts of the visible elements that match."""
        script = f"return {_VISIBLE}.map((each) => each.innerText.trim())"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def see(self, selector: str, text: str = "") -> WebElement:
        """The first element that matches and contains the text, once it is visible."""
        return until(partial(self._find, selector, text))

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element that matches and contains the text, once it is visible."""

        def clicked() -> WebElement | None:
            try:
                if found := self._find(selector, text):
                    found.click()
            except StaleElementReferenceException:
                return None
            return found

        until(clicked)

    def press(self, label: str) -> None:
        """Press the enabled button with this label, once it is visible."""
        self.click("button:enabled", label)

    def run(self, script: str, *arguments: object) -> Any:
        """The awaited result of a script."""
        return self.driver.execute_async_script(
            f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})()"
            ".then(done, (error) => done(`${error}`))",
            *arguments,
        )

    def look(self, *, dark: bool = False, phone: bool = False) -> None:
        """Set the colour scheme and the size of the screen."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        width, height = _PHONE if phone else _WIDE
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def downloads_to(self, folder: Path) -> None:
        """Save downloads there."""
        behaviour = {"behavior": "allow", "downloadPath": str(folder)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)

    def block(self, *paths: str) -> None:
        """Block requests for these paths from now on; without paths, block none."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [f"*{p}*" for p in paths]})

    def slow_down(self, upload: int | None) -> None:
        """Limit uploads to so many bytes a second from now on; None: no limit."""
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": upload or -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False} | speed)

    def drop(self, *files: Path) -> None:
        """Drag files onto the page, and drop them."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for type_ in ("dragEnter", "dragOver", "drop"):
            event = {"type": type_, "x": 300, "y": 300, "data": data}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", event)

    def check(self, name: str) -> None:
        """Check accessibility and overflow, light and wide, dark and on a phone."""
        for dark in (False, True):
            self.look(dark=dark, phone=dark)
            self.shoot(f"{name}-{'dark-phone' if dark else 'light'}")
            assert self.violations() == []
            assert self.driver.execute_script(_OVERFLOWING) == []
        self.look()

    def shoot(self, name: str) -> Path:
        """Save a screenshot of the page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        file = SHOTS / f"{name}.png"
        assert self.driver.save_screenshot(str(file))
        return file

    def violations(self) -> list[str]:
        """What axe-core finds in the page as it is."""
        if not self.driver.execute_script("return Boolean(window.axe)"):
            self.driver.execute_script(_AXE.read_text())
        found = self.run("return (await axe.run(document)).violations")
        assert isinstance(found, list), found
        return [
            f"{rule['id']}: {rule['help']}: {node['html']}"
            for rule in found
            for node in rule["nodes"]
        ]

    def log_entries(self) -> list[str]:
        """What the browser has logged since the last call."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]  # selenium

    def _find(self, selector: str, text: str) -> WebElement | None:
        try:
            return next((e for e in self.all(selector) if text in e.text), None)
        except StaleElementReferenceException:
            return None
