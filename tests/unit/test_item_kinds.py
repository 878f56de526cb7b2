"""A new kind of Outlook item is one new row of ``ITEM_KINDS``."""

import json
import subprocess
import sys

# The row is added to the module's text. Other modules read the table when they are imported, so
# that this takes a process of its own.
NEW_KIND = """
import json, sys, types
from pathlib import Path

LAST_ROW = 'ItemKind("event", "events", "Calendars.ReadWrite", "eventid", "eventId"),'
NEW_ROW = 'ItemKind("task", "tasks", "Tasks.ReadWrite", "taskid", "taskId"),'
text = Path("shared/outlook/item.py").read_text()
assert text.count(LAST_ROW) == 1
module = sys.modules["shared.outlook.item"] = types.ModuleType("shared.outlook.item")
exec(text.replace(LAST_ROW, LAST_ROW + NEW_ROW), module.__dict__)

from shared.errors import TransferError
from shared.transfer.addressing import read_address
from shared.transfer.payloads import TransferRequest
from shared.transfer.service.requests import AttachRequest, UploadLinkRequest
from shared.transfer.service.upload_link import _headers
from shared.triggers.http.openapi import openapi_document

def sentence(call, *args):
    try:
        call(*args)
    except TransferError as error:
        return [each.message for each in getattr(error, "details", ())] or str(error)

by_path = read_address("a@contoso.com/tasks/T/x.pdf", {}).item
by_key = read_address("x.pdf", {"mailbox": "a@contoso.com", "taskid": "T"}).item
attach = AttachRequest.read({"blob": "x", "mailbox": "a@contoso.com", "taskId": "T"})
upload = UploadLinkRequest.read(
    {"fileName": "x", "size": 1, "mailbox": "a@contoso.com", "taskId": "T"}
)
request = TransferRequest(blob="x", **TransferRequest.fields_of(attach.item))
schemas = openapi_document()["components"]["schemas"]
print(json.dumps({
    "items": [str(each) for each in (by_path, by_key, attach.item, request.item)],
    "read again": str(TransferRequest.from_json(request.to_json()).item),
    "path": attach.item.path,
    "permission": attach.item.permission,
    "header": _headers(upload, "x")["x-ms-meta-taskid"],
    "none": sentence(AttachRequest.read, {"blob": "x", "mailbox": "a@contoso.com"}),
    "no address": sentence(read_address, "x", {}),
    "two": sentence(read_address, "x", {"mailbox": "a@b", "taskid": "T", "eventid": "E"}),
    "half": sentence(read_address, "x", {"mailbox": "a@b"}),
    "field": "taskId" in schemas["AttachRequest"]["properties"],
    "one of": schemas["UploadLinkRequest"]["oneOf"],
    "type": schemas["Transfer"]["properties"]["itemType"]["anyOf"][0]["enum"],
}))
"""


def test_a_row_is_all_that_a_new_kind_takes() -> None:
    """Addresses, requests, payloads, messages and the API's description follow the table."""
    done = subprocess.run(
        [sys.executable, "-c", NEW_KIND], capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(done.stdout)
    assert set(found.pop("items")) == {"a@contoso.com/tasks/T"}
    assert found.pop("read again") == "a@contoso.com/tasks/T"
    assert found == {
        "path": "/users/a@contoso.com/tasks/T",
        "permission": "Tasks.ReadWrite",
        "header": "T",
        "none": ["is missing; give messageId or eventId or taskId"],
        "no address": (
            "The blob names no item. Set its metadata mailbox and messageid (or eventid or taskid) "
            "before uploading, or name it {mailbox}/messages/{id}/{file}."
        ),
        "two": ("The blob's metadata names both eventid and taskid. Keep the one that is meant."),
        "half": (
            "The blob's metadata names a mailbox but no item. "
            "Add the metadata messageid or eventid or taskid."
        ),
        "field": True,
        "one of": [
            {"required": ["messageId"]},
            {"required": ["eventId"]},
            {"required": ["taskId"]},
        ],
        "type": ["message", "event", "task"],
    }
