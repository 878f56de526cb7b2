"""The files of the monitor page: public, without data, with a strict policy for scripts."""

import re
from pathlib import Path

import pytest
import requests

from infra.local.stack import Stack
from shared.triggers.http.monitor_page import ASSETS
from tests.support.e2e.api import Api

FOLDER = Path("shared/triggers/http/monitor")


@pytest.fixture
def api(stack: Stack) -> Api:
    return Api(stack)


def get(api: Api, path: str, **headers: str) -> requests.Response:
    """A call without the key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(api.url + path, headers=named, timeout=10)


def test_the_page_may_connect_to_the_app_and_the_source_account_only(api: Api) -> None:
    """Its policy allows no inline script or style, no frame, no form, no HTML from text."""
    page = get(api, "/monitor")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    rules = dict(each.split(" ", 1) for each in page.headers["Content-Security-Policy"].split("; "))
    account = str(api.container.primary_endpoint).rsplit("/", 2)[0]
    assert rules.pop("connect-src") == f"'self' {account}"
    own = {"script-src", "style-src", "img-src"}
    assert {name: rules.pop(name) for name in own} == dict.fromkeys(own, "'self'")
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert set(rules.values()) == {"'none'"}
    assert {"default-src", "base-uri", "form-action", "frame-ancestors"} <= set(rules)
    assert (page.headers["X-Content-Type-Options"], page.headers["Referrer-Policy"]) == (
        "nosniff",
        "no-referrer",
    )


def test_the_page_has_no_inline_script() -> None:
    """No inline styles, event handlers or resources of another host either."""
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script\b[^>]*>", page) == [
        '<script type="module" src="/api/monitor/main.js">'
    ]
    assert not re.search(r"<style\b|\sstyle=|\son\w+=|https?://|//\w", page)


@pytest.mark.parametrize("name", ASSETS)
def test_an_asset_has_its_type_and_can_be_cached(api: Api, name: str) -> None:
    """The bytes of its file; 304 while they are unchanged, also for a weak ETag."""
    found = get(api, f"/monitor/{name}")
    types = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    assert found.content == (FOLDER / name).read_bytes()
    assert found.headers["Content-Type"].split(";")[0] == types[Path(name).suffix]
    assert (found.headers["X-Content-Type-Options"], found.headers["Cache-Control"]) == (
        "nosniff",
        "no-cache",
    )
    etag = found.headers["ETag"]
    for known in (etag, f'W/{etag}, "other"'):
        again = get(api, f"/monitor/{name}", If_None_Match=known)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
        assert again.headers["Content-Type"] == found.headers["Content-Type"]
    assert get(api, f"/monitor/{name}", If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "nope.js",
        "..%2froutes.py",
        "%2e%2e%2f%2e%2e%2f%2e%2e%2fsettings.py",
        "..%5croutes.py",
        "%2fetc%2fpasswd",
        "main.js%00",
        "MAIN.JS",
    ],
)
def test_no_other_name_is_served(api: Api, name: str) -> None:
    """A name is looked up, and never becomes a path."""
    response = get(api, f"/monitor/{name}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NotFound")


def test_every_module_that_is_imported_is_there() -> None:
    """No asset is served that the page does not use."""
    used = {"main.js", "monitor.css", "icon.svg"}
    for module in FOLDER.glob("*.js"):
        used |= set(re.findall(r"from '\./([a-z]+\.js)'", module.read_text()))
    assert used == set(ASSETS)
