"""The local stack with a data folder: what lasts from start to start, and who may use it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from infra.local.drop import drop, source_container
from infra.local.errors import StackStateError, UsageError
from infra.local.outlook import catalogue
from infra.local.stack import MAILBOXES, Stack
from infra.local.stack_info import StackInfo
from tests.support.e2e.api import Api
from tests.support.waiting import until

MAILBOX = MAILBOXES[0]
SETTINGS = {"RANGE_BYTES": "1000000", "RANGES_PER_ACTIVITY": "1", "RECONCILE_SECONDS": "2"}


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """A stack whose data and file are there."""
    with (
        (folder / "log").open("ab") as log,
        Stack(
            settings=SETTINGS,
            log=log.fileno(),
            info_file=folder / "stack.json",
            data=folder / "data",
        ) as stack,
    ):
        yield stack


def contents(stack: Stack, item: str) -> list[bytes]:
    return [each.content for each in stack.outlook.attachments(MAILBOX, item)]


def test_blobs_mailboxes_and_addresses_last(tmp_path: Path) -> None:
    """Also the key, so that a page that is open goes on; nothing is attached twice."""
    content = os.urandom(5_000)
    with running(tmp_path) as stack:
        first, items = stack.info, stack.items
        message = items[MAILBOX][0]
        dropped = drop(first, content, "a.txt", f"{MAILBOX}/messages/{message}", "text/plain")
        record = until(lambda: Api(stack).record(dropped.blob).get("attachmentid"))
        assert stack.started_again == []
    with running(tmp_path) as stack:
        assert stack.items == items
        assert stack.info.function_key == first.function_key
        assert stack.info.graph_url == first.graph_url
        api = Api(stack)
        name = f"{MAILBOX}/messages/{quote(message)}/b.txt"
        api.put(name, b"second")
        assert contents(stack, message) == [content, b"second"]
        assert api.record(dropped.blob)["attachmentid"] == record
        assert source_container(stack.info).download_blob(dropped.blob).readall() == content


def test_a_transfer_under_way_goes_on_after_a_new_start(tmp_path: Path) -> None:
    """Requested by a call alone: no blob names its item. It is named, and attached once."""
    content = os.urandom(3_500_000)
    with running(tmp_path) as stack:
        message = stack.items[MAILBOX][0]
        api = Api(stack)
        api.put("report.pdf", content)
        # A Retry-After would last, too: the mailbox's row keeps it.
        api.hold("range", catalogue.refused(503, "serviceNotAvailable"), after=1)
        body = {"blob": "report.pdf", "mailbox": MAILBOX, "messageId": message}
        transfer = api.request_transfer(**body).json()["id"]
        until(lambda: [each for each in stack.outlook.requests if each.fault] or None)
        assert stack.under_way() == ["report.pdf"]
    with running(tmp_path) as stack:
        assert stack.started_again == ["report.pdf"]
        assert Api(stack).ended(transfer)["state"] == "attached"
        assert contents(stack, message) == [content]
        until(lambda: not stack.under_way() or None)
    with running(tmp_path) as stack:
        assert stack.started_again == []


def test_a_file_that_outlook_has_accepted_is_not_attached_again(tmp_path: Path) -> None:
    """The stack ends before the response is known; the ledger lasts, and the item is searched."""
    content = os.urandom(5_000)
    with running(tmp_path) as stack:
        message = stack.items[MAILBOX][0]
        api = Api(stack)
        api.put("small.pdf", content)
        api.hold("list", catalogue.refused(503, "serviceNotAvailable"), after=1)
        api.next_fails("small_post", catalogue.failed_after_acceptance())
        body = {"blob": "small.pdf", "mailbox": MAILBOX, "messageId": message}
        transfer = api.request_transfer(**body).json()["id"]
        until(lambda: contents(stack, message) or None)
        assert stack.under_way() == ["small.pdf"]
    with running(tmp_path) as stack:
        assert stack.started_again == ["small.pdf"]
        assert Api(stack).ended(transfer)["state"] == "attached"
        assert contents(stack, message) == [content]


def test_a_second_stack_is_refused(tmp_path: Path) -> None:
    """With the address of the first, which stays usable; not by a file that is left behind."""
    with running(tmp_path) as stack:
        written = (tmp_path / "stack.json").read_text()
        second = Stack(info_file=tmp_path / "stack.json")
        with pytest.raises(StackStateError, match=stack.info.functions_url), second:
            pass
        same_data = Stack(info_file=tmp_path / "other.json", data=tmp_path / "data")
        with pytest.raises(StackStateError, match="--data"), same_data:
            pass
        assert (tmp_path / "stack.json").read_text() == written
    assert not (tmp_path / "stack.json").exists()
    (tmp_path / "stack.json").write_text(written)
    with running(tmp_path) as stack:
        assert StackInfo.read(tmp_path / "stack.json") == stack.info


def test_the_file_of_another_stack_is_not_removed(tmp_path: Path) -> None:
    """It belongs to the one that wrote it."""
    file = tmp_path / "stack.json"
    with running(tmp_path) as stack:
        other = stack.info.model_copy(update={"pid": stack.info.pid + 1})
        other.write(file)
    assert StackInfo.read(file) == other


@pytest.mark.parametrize(
    "file", ["identity.json", "outlook/mailboxes.json", "orchestrations.sqlite"]
)
def test_data_of_another_version_are_named(tmp_path: Path, file: str) -> None:
    """Each file by its path."""
    place = tmp_path / "data" / file
    place.parent.mkdir(parents=True)
    place.write_text("something else, and long enough for a database " * 20)
    with pytest.raises(UsageError, match=str(place)), running(tmp_path):
        pass
