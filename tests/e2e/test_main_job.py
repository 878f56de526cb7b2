"""A dropped file becomes an attachment: on the local stack, with real processes and waits."""

import json
import os
import signal

import pytest
from azure.storage.blob import BlobType
from durabletask.client import TaskHubGrpcClient

from infra.local.drop import drop, source_container
from infra.local.outlook import Fault, catalogue
from infra.local.stack import MAILBOXES, Stack
from tests.support.e2e.checks import assert_no_orchestration_failed, record_of
from tests.support.waiting import until

MAILBOX = MAILBOXES[0]


@pytest.mark.parametrize("kind", ["messages", "events"])
@pytest.mark.parametrize("size", [200_000, 5_300_000])
def test_a_dropped_file_becomes_an_attachment(stack: Stack, kind: str, size: int) -> None:
    """Addressed by its path; byte for byte; the record has the attachment's id."""
    item = stack.outlook.add_item(MAILBOX, "message" if kind == "messages" else "event")
    content = os.urandom(size)
    dropped = drop(stack.info, content, "report.pdf", f"{MAILBOX}/{kind}/{item}", "application/pdf")
    record = record_of(source_container(stack.info), dropped.blob)
    (attachment,) = stack.outlook.attachments(MAILBOX, item)
    assert attachment.content == content
    assert (record["attachmentstatus"], record["attachmentid"]) == ("attached", attachment.id)
    assert record["attachmenttransfer"] == dropped.transfer_id
    assert_no_orchestration_failed(stack)


def test_several_files_for_one_item_all_arrive(stack: Stack) -> None:
    """Two sessions at once for one item conflict at Outlook; waiting resolves it."""
    item = stack.outlook.add_item(MAILBOX, "message")
    contents = {f"{n}.bin": os.urandom(3_200_000 + n) for n in range(3)}
    dropped = [
        drop(stack.info, content, name, f"{MAILBOX}/messages/{item}", "application/octet-stream")
        for name, content in contents.items()
    ]
    for each in dropped:
        record = record_of(source_container(stack.info), each.blob)
        assert record["attachmentstatus"] == "attached"
    attachments = stack.outlook.attachments(MAILBOX, item)
    assert {a.name: a.content for a in attachments} == contents
    assert len(attachments) == len(contents)


def test_a_killed_worker_attaches_once(stack: Stack) -> None:
    """Killed while the response to a range is held: the transfer continues, attached once."""
    item = stack.outlook.add_item(MAILBOX, "message")
    stack.outlook.clear()
    # Outlook accepts the range and holds the response until the worker is killed.
    hang = catalogue.lost_answer("hang", hang_seconds=20)
    stack.outlook.faults.add(Fault(misbehaviour=hang, kind="range"))
    content = os.urandom(5_000_001)
    worker = stack.info.worker_pid
    dropped = drop(stack.info, content, "big.bin", f"{MAILBOX}/messages/{item}", "text/plain")
    until(lambda: stack.outlook.faults.fired or None)
    os.kill(worker, signal.SIGKILL)
    record = record_of(source_container(stack.info), dropped.blob)
    (attachment,) = stack.outlook.attachments(MAILBOX, item)
    assert attachment.content == content
    assert record["attachmentid"] == attachment.id
    assert stack.info.worker_pid != worker
    assert_no_orchestration_failed(stack)


BAD_BLOBS = [
    ("no-item.pdf", {}, "unaddressed", "Unaddressed"),
    (
        "two.pdf",
        {"mailbox": MAILBOX, "messageid": "M", "eventid": "E"},
        "failed",
        "ContradictoryAddress",
    ),
    ("half.pdf", {"mailbox": MAILBOX}, "failed", "ContradictoryAddress"),
    (f"{MAILBOX}/messages/x.pdf", {}, "failed", "ContradictoryAddress"),
    (
        "nobody.pdf",
        {"mailbox": "nobody@contoso.com", "messageid": "M"},
        "failed",
        "ItemNotFound",
    ),
]


@pytest.mark.parametrize(("name", "metadata", "status", "code"), BAD_BLOBS)
def test_a_bad_blob_gets_a_record_of_its_fault(
    stack: Stack, name: str, metadata: dict[str, str], status: str, code: str
) -> None:
    """With the code and what to change; no orchestration has failed."""
    container = source_container(stack.info)
    container.upload_blob(name, b"x", metadata=metadata)
    record = record_of(container, name)
    assert record["attachmentstatus"] == status
    assert record["attachmenterror"].startswith(f"{code}: ")
    assert metadata.items() <= record.items()
    assert_no_orchestration_failed(stack)


@pytest.mark.parametrize("kind", [BlobType.PAGEBLOB, BlobType.APPENDBLOB])
def test_other_kinds_of_blobs_are_refused(stack: Stack, kind: BlobType) -> None:
    """Page and append blobs can change in place."""
    container = source_container(stack.info)
    name = f"{kind.value}.bin"
    container.upload_blob(
        name, b"x" * 512, blob_type=kind, metadata={"mailbox": MAILBOX, "messageid": "M"}
    )
    record = record_of(container, name)
    assert record["attachmenterror"].startswith("UnsupportedBlob: ")


@pytest.mark.parametrize(
    ("file_name", "arrives_as"),
    [
        ("a%0D%0AX-Evil%3A 1.pdf", "aX-Evil: 1.pdf"),
        ('say "hi".pdf', "say _hi_.pdf"),
        ("exe%E2%80%AEfdp.pdf", "exefdp.pdf"),
        ("n" * 300 + ".pdf", "n" * 251 + ".pdf"),
    ],
)
def test_hostile_file_names_are_made_safe(stack: Stack, file_name: str, arrives_as: str) -> None:
    """Line breaks, quotes, bidirectional marks and 300 characters."""
    item = stack.outlook.add_item(MAILBOX, "message")
    metadata = {"mailbox": MAILBOX, "messageid": item, "filename": file_name}
    container = source_container(stack.info)
    container.upload_blob(f"hostile/{arrives_as[:20]}", b"x", metadata=metadata)
    assert record_of(container, f"hostile/{arrives_as[:20]}")["attachmentstatus"] == "attached"
    assert [a.name for a in stack.outlook.attachments(MAILBOX, item)] == [arrives_as]


def test_no_secret_was_stored(stack: Stack) -> None:
    """No status or history of any transfer so far has an upload URL or a token."""
    client = TaskHubGrpcClient(host_address=stack.info.durable_address)
    stored = []
    for state in client.get_all_orchestration_states():
        history = client.get_orchestration_history(state.instance_id)
        stored.append(json.dumps([repr(state), repr(history)]))
    client.close()
    assert len(stored) > 5
    secrets = stack.outlook.secrets()
    assert not [s for s in secrets for text in stored if s in text]
