"""The page's files as the app serves them: for anybody, without data, and strict about scripts."""

import re
from pathlib import Path

import pytest
import requests

from infra.local.stack import Stack
from shared.triggers.http.monitor_page import ASSETS
from tests.e2e.api import Api

FOLDER = Path("shared/triggers/http/monitor")


@pytest.fixture
def api(stack: Stack) -> Api:
    return Api(stack)


def get(api: Api, path: str, **headers: str) -> requests.Response:
    """A call of somebody without the key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(api.url + path, headers=named, timeout=10)


def test_the_page_may_reach_this_app_and_the_source_account_alone(api: Api) -> None:
    """By a policy that allows no inline script or style, no frame, no form, no markup of text."""
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


def test_the_page_holds_no_script_of_its_own() -> None:
    """Nor styles, nor handlers in attributes, nor anything from another host."""
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script\b[^>]*>", page) == [
        '<script type="module" src="/api/monitor/main.js">'
    ]
    assert not re.search(r"<style\b|\sstyle=|\son\w+=|https?://|//\w", page)


@pytest.mark.parametrize("name", ASSETS)
def test_an_asset_has_its_type_and_is_kept(api: Api, name: str) -> None:
    """The bytes of its file; not sent again while they are the same, whoever weakened the ETag."""
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
    answer = get(api, f"/monitor/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")


def test_every_module_that_is_imported_is_there() -> None:
    """And nothing is served that the page does not use."""
    used = {"main.js", "monitor.css", "icon.svg"}
    for module in FOLDER.glob("*.js"):
        used |= set(re.findall(r"from '\./([a-z]+\.js)'", module.read_text()))
    assert used == set(ASSETS)
