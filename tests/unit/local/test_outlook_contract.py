"""Every example of the seed documents, sent to the emulator: it answers in the same shape."""

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

# What differs from one tenant, host and moment to another.
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
    """A value with what varies put aside; strings without their case."""
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
def seeds(emulator: OutlookEmulator, client: Client) -> Client:
    """A client of an emulator with the rules that the documents state."""
    emulator.rules = Rules()
    return client


def prepare_url(client: Client, example: dict[str, Any]) -> str:
    """Bring the emulator to where the example begins; the example's URL as the emulator has it."""
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
    """The example's request, word for word but for its host and ids."""
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
def test_seed_example_is_answered_in_its_shape(name: str, seeds: Client) -> None:
    """The answer has the example's status, its very keys, its URLs' forms and its headers."""
    expected = _BY_NAME[name]["response"]
    answer = send(seeds, _BY_NAME[name])
    assert answer.status_code == expected["status"], answer.text
    if "json" in expected:
        assert list(answer.json()) == list(expected["json"])
        assert shape(answer.json()) == shape(expected["json"])
    else:
        assert len(answer.content) == int(expected.get("headers", {}).get("content-length", 0))
    for header, value in expected.get("headers", {}).items():
        assert shape(answer.headers[header]) == shape(value)


def test_session_upload_keeps_every_byte(seeds: Client, message: str) -> None:
    """A file of the documents' size arrives whole, and is found under the id in `Location`."""
    location = seeds.upload(message, _CONTENT, 2097152).headers["Location"]
    [attachment] = seeds.emulator.attachments(MAILBOX, message)
    assert attachment.content == _CONTENT
    assert location.endswith(f"/Attachments('{attachment.id}')")


def test_told_size_is_never_the_files_own(seeds: Client, message: str) -> None:
    """`size` in an answer is larger than the file, of a small one too."""
    seeds.upload(message, _CONTENT, 2097152)
    told = [seeds.small(message, b"").json()["size"]]
    told += [
        each["size"]
        for each in seeds.graph("GET", f"{seeds.item_url(message)}/attachments").json()["value"]
    ]
    assert told[0] > 0
    assert told[1] > len(_CONTENT)
