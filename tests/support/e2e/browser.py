"""A real Chromium for the tests of the page, and what they do with it."""

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
# Kept after the tests, to be looked at.
SHOTS = APP_FOLDER / ".local" / "screenshots"

_AXE = APP_FOLDER / "infra/local/node_modules/axe-core/axe.min.js"
# At one moment: the page may draw anew between two questions.
_SEEN = "[...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility())"
_STICKING_OUT = """
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const out = (each) => each.getBoundingClientRect().right > width;
  return [...document.querySelectorAll('main *')].filter(out).map((each) => each.outerHTML);
"""
_WIDE, _PHONE = (1_200, 900), (390, 844)
# Without them Chromium looks for servers of its maker's.
_ALONE = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """A headless browser with an empty profile."""
    options = ChromeOptions()
    options.binary_location = BROWSER or ""
    # Without a sandbox, since containers often run as root: it loads nothing but this page.
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    for flag in [*flags, *_ALONE, f"--user-data-dir={profile}", "--force-prefers-reduced-motion"]:
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
        """Load the page anew, in a tab that knows no key, and give it the key."""
        self.load(fragment)
        self.driver.execute_script("sessionStorage.clear()")
        self.load(fragment)
        self.see("#key").send_keys(self.api.stack.info.function_key)
        self.press("Open")

    def load(self, fragment: str = "") -> None:
        """Load the page, as the tab is."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.api.url}/monitor{fragment}")

    def all(self, selector: str) -> list[WebElement]:
        """The elements that match, and that can be seen."""
        found: list[WebElement] = self.driver.execute_script(f"return {_SEEN}", selector)
        return found

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that match, and that can be seen."""
        script = f"return {_SEEN}.map((each) => each.innerText.trim())"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def see(self, selector: str, text: str = "") -> WebElement:
        """The first element that matches and holds the text, once it can be seen."""
        return until(partial(self._seen, selector, text))

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element that matches and holds the text, once it is there."""

        def clicked() -> WebElement | None:
            try:
                if found := self._seen(selector, text):
                    found.click()
            except StaleElementReferenceException:
                return None
            return found

        until(clicked)

    def press(self, label: str) -> None:
        """Press the button with this label, once it is there."""
        self.click("button:enabled", label)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script answers, awaited."""
        return self.driver.execute_async_script(
            f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})()"
            ".then(done, (error) => done(`${error}`))",
            *arguments,
        )

    def look(self, *, dark: bool = False, phone: bool = False) -> None:
        """Show the page in these colours, on a screen of this width."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        width, height = _PHONE if phone else _WIDE
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def downloads_to(self, folder: Path) -> None:
        """Keep downloads there."""
        behaviour = {"behavior": "allow", "downloadPath": str(folder)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)

    def cut_off(self, *paths: str) -> None:
        """Let no request for these paths get through from now on; without any, let all."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [f"*{p}*" for p in paths]})

    def slow_down(self, upload: int | None) -> None:
        """Send no more than so many bytes a second from now on; None: as fast as it goes."""
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": upload or -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False} | speed)

    def drop(self, *files: Path) -> None:
        """Drag files of this machine onto the page, and let go."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for type_ in ("dragEnter", "dragOver", "drop"):
            event = {"type": type_, "x": 300, "y": 300, "data": data}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", event)

    def check(self, name: str) -> None:
        """Nobody is kept out of what is shown, light and wide, dark and on a phone."""
        for dark in (False, True):
            self.look(dark=dark, phone=dark)
            self.shoot(f"{name}-{'dark-phone' if dark else 'light'}")
            assert self.violations() == []
            assert self.driver.execute_script(_STICKING_OUT) == []
        self.look()

    def shoot(self, name: str) -> Path:
        """Keep a picture of the page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        file = SHOTS / f"{name}.png"
        assert self.driver.save_screenshot(str(file))
        return file

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page as it is shown."""
        if not self.driver.execute_script("return Boolean(window.axe)"):
            self.driver.execute_script(_AXE.read_text())
        found = self.run("return (await axe.run(document)).violations")
        assert isinstance(found, list), found
        return [
            f"{rule['id']}: {rule['help']}: {node['html']}"
            for rule in found
            for node in rule["nodes"]
        ]

    def complaints(self) -> list[str]:
        """What the browser has logged since it was last asked."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]  # selenium

    def _seen(self, selector: str, text: str) -> WebElement | None:
        try:
            return next((e for e in self.all(selector) if text in e.text), None)
        except StaleElementReferenceException:
            return None
