"""Every example of Microsoft's documentation: the emulator's response has the same form."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.local.outlook import ItemKind, OutlookEmulator, Rules
from tests.unit.local.outlook_client import MAILBOX, Client

_EXAMPLES = json.loads(
    (Path(__file__).parents[2] / "data" / "seed_examples.json").read_text(encoding="utf-8")
)["examples"]
_BY_NAME = {example["name"]: example for example in _EXAMPLES}
_CONTENT = bytes(range(256)) * 13606 + bytes(186)

# What differs between tenants, hosts and times.
_VARYING = (
    (re.compile(r"https?://[^/]+"), "HOST"),
    (re.compile(r"/(g?v[12]\.0|g?beta)/"), "/VERSION/"),
    (re.compile(r"\('[^']+'\)"), "('KEY')"),
    (re.compile(r"authtoken=eyJ[\w-]+$"), "authtoken=TOKEN"),
    (re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"^TIME\.\d{7}Z$"), "TIME with seven digits"),
    (re.compile(r"^AA[Mk][kA][\w-]+=$"), "ID"),
)


def shape(value: Any) -> Any:
    """A value without what varies, its strings in lower case."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items() if key != "size"}
    if isinstance(value, list):
        return [shape(each) for each in value]
    if not isinstance(value, str):
        return value
    for pattern, common in _VARYING:
        value = pattern.sub(common, value)
    return value.lower()


@pytest.fixture
def documented(emulator: OutlookEmulator, client: Client) -> Client:
    """A client for an emulator with the documented rules."""
    emulator.rules = Rules()
    return client


def prepare_url(client: Client, example: dict[str, Any]) -> str:
    """Prepare the emulator for the example, and return the example's URL there."""
    name, request = example["name"], example["request"]
    kind: ItemKind = "event" if "events" in request["url"].lower() else "message"
    item = client.emulator.add_item(MAILBOX, kind)
    if name.startswith("create"):
        version = "beta" if "/beta/" in request["url"] else "v1.0"
        return f"{client.item_url(item, kind, version)}/attachments/createUploadSession"
    url = client.session(item, len(_CONTENT), kind, contentType="image/jpeg")
    if name.startswith(("first", "cancel")):
        return url
    client.put(url, _CONTENT[:2097152], 0, len(_CONTENT))
    if name.startswith("last"):
        return url
    location = client.put(url, _CONTENT[2097152:], 2097152, len(_CONTENT)).headers["Location"]
    path = location.removeprefix(client.emulator.url).replace("/api/v2.0", "/v1.0")
    if name == "raw content":
        return f"{client.emulator.url}{path}/$value"
    return f"{client.emulator.url}/api{path}?{request['url'].partition('?')[2]}"


def send(client: Client, example: dict[str, Any]) -> requests.Response:
    """Send the example's request, with another host and other ids."""
    request = example["request"]
    url = prepare_url(client, example)
    headers = dict(request.get("headers", {}))
    if "json" in request:
        return client.graph("POST", url, headers, json=request["json"])
    if request["method"] == "PUT":
        start, end = map(int, re.findall(r"\d+", headers["Content-Range"])[:2])
        return client.http.put(url, data=_CONTENT[start : end + 1], headers=headers)
    if "absent_headers" in request:
        return client.http.request(request["method"], url)
    return client.graph(request["method"], url)


@pytest.mark.parametrize("name", _BY_NAME)
def test_example_gets_its_response(name: str, documented: Client) -> None:
    """The response has the example's status, exactly its keys, and its URLs and headers."""
    expected = _BY_NAME[name]["response"]
    answer = send(documented, _BY_NAME[name])
    assert answer.status_code == expected["status"], answer.text
    if "json" in expected:
        assert list(answer.json()) == list(expected["json"])
        assert shape(answer.json()) == shape(expected["json"])
    else:
        assert len(answer.content) == int(expected.get("headers", {}).get("content-length", 0))
    for header, value in expected.get("headers", {}).items():
        assert shape(answer.headers[header]) == shape(value)


def test_session_upload_keeps_every_byte(documented: Client, message: str) -> None:
    """A file of the documented size arrives whole, and `Location` has its id."""
    location = documented.upload(message, _CONTENT, 2097152).headers["Location"]
    [attachment] = documented.emulator.attachments(MAILBOX, message)
    assert attachment.content == _CONTENT
    assert location.endswith(f"/Attachments('{attachment.id}')")


def test_reported_size_is_never_the_files_own(documented: Client, message: str) -> None:
    """`size` in a response is larger than the file, even than an empty one."""
    documented.upload(message, _CONTENT, 2097152)
    sizes = [documented.small(message, b"").json()["size"]]
    sizes += [
        each["size"]
        for each in documented.graph("GET", f"{documented.item_url(message)}/attachments").json()[
            "value"
        ]
    ]
    assert sizes[0] > 0
    assert sizes[1] > len(_CONTENT)
