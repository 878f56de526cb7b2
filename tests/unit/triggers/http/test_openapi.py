"""Description, examples and README list the same calls."""

import re
from pathlib import Path

import pytest

from shared.triggers.http.calls import CALLS, Call
from shared.triggers.http.openapi import openapi_document

ROOT = Path(__file__).parents[4]


def requests_of(text: str) -> set[tuple[str, str]]:
    """Method and route of each request in a .http file."""
    found = re.findall(r"^(GET|POST|DELETE) \{\{url\}\}/([^\s?]+)", text, re.MULTILINE)
    return {(method, re.sub(r"\{\{(id|asset)\}\}", r"{\1}", route)) for method, route in found}


def test_every_call_has_an_example() -> None:
    """And no example is of a call that is not there."""
    shown = requests_of((ROOT / "api.http").read_text())
    assert shown == {(call.method, call.route) for call in CALLS}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_the_readme_has_a_curl_for_every_call(call: Call) -> None:
    """As a new user would type it."""
    route = re.escape(call.route).replace(r"\{id\}", "ID").replace(r"\{asset\}", "monitor.css")
    method = f"-X {call.method} " if call.method == "DELETE" else ""
    curl = re.compile(rf'^curl .*{method}.*\$URL/{route}("|\?| -d|$)', re.MULTILINE)
    assert curl.search((ROOT / "README.md").read_text())


def test_the_paths_are_those_of_the_app_that_answers() -> None:
    """Also behind a proxy or another host name."""
    assert [each["url"] for each in openapi_document()["servers"]] == ["/"]


def test_every_call_is_described_with_its_errors() -> None:
    """The shallow health and the page need no key; every other call can answer 401."""
    paths = openapi_document()["paths"]
    described = {
        (method.upper(), path.removeprefix("/api/")): operation
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert set(described) == {(call.method, call.route) for call in CALLS}
    open_calls = {route for (_, route), each in described.items() if not each["security"]}
    assert open_calls == {"health", "monitor", "monitor/{asset}"}
    assert all(
        ("401" in each["responses"]) == bool(each["security"]) for each in described.values()
    )


def test_the_body_is_described_as_it_is_checked() -> None:
    """No unknown fields, one of blob and blobs, one of messageId and eventId."""
    schema = openapi_document()["components"]["schemas"]["AttachRequest"]
    assert schema["additionalProperties"] is False
    assert {"blob", "blobs", "mailbox", "messageId", "eventId", "force"} <= set(
        schema["properties"]
    )
    assert len(schema["allOf"]) == 2
