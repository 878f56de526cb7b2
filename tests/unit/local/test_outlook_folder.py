"""An emulator with a folder: mailboxes, items and attachments last, upload sessions do not."""

from pathlib import Path

import pytest

from infra.local.outlook import OutlookEmulator, Rules, UnreadableFolder
from tests.unit.local.outlook_client import MAILBOX, Client

SMALL = Rules(minimum_session_bytes=1)


def test_items_and_attachments_last(tmp_path: Path) -> None:
    """Also those of a program that was killed: nothing is written at the end alone."""
    first = OutlookEmulator(SMALL, folder=tmp_path).start()
    first.add_mailbox(MAILBOX)
    message, event = (first.add_item(MAILBOX, kind) for kind in ("message", "event"))
    client = Client(first)
    client.small(message, b"small", name="a.txt")
    url = client.session(event, 12, "event", name="b.txt")
    client.put(url, b"by a session", 0, 12)
    client.close()
    kept = [first.attachments(MAILBOX, item) for item in (message, event)]
    with OutlookEmulator(SMALL, folder=tmp_path) as second:
        assert [second.attachments(MAILBOX, item) for item in (message, event)] == kept
        assert [each[0].content for each in kept] == [b"small", b"by a session"]
        reader = Client(second)
        url = f"{reader.item_url(event, 'event')}/attachments/{kept[1][0].id}/$value"
        assert reader.graph("GET", url).content == b"by a session"
        reader.close()
        assert second.items(MAILBOX) == first.items(MAILBOX) == [message, event]
    first.stop()


def test_what_was_removed_stays_removed(tmp_path: Path) -> None:
    """An item and an attachment; no content stays behind."""
    with OutlookEmulator(SMALL, folder=tmp_path) as first:
        first.add_mailbox(MAILBOX)
        gone, stays = (first.add_item(MAILBOX, "message") for _ in range(2))
        first.attach(MAILBOX, gone, "a", b"a")
        first.attach(MAILBOX, stays, "b", b"b")
        first.remove_item(MAILBOX, gone)
    with OutlookEmulator(SMALL, folder=tmp_path) as second:
        assert second.items(MAILBOX) == [stays]
        assert second.attachments(MAILBOX, stays)[0].content == b"b"
    assert len(list((tmp_path / "contents").iterdir())) == 1


def test_an_open_session_ends_with_the_emulator(tmp_path: Path) -> None:
    """Its upload URL is unknown afterwards, as that of an expired session."""
    with OutlookEmulator(SMALL, folder=tmp_path) as first:
        first.add_mailbox(MAILBOX)
        message = first.add_item(MAILBOX, "message")
        client = Client(first)
        url = client.session(message, 6)
        client.put(url, b"abc", 0, 6)
        client.close()
    with OutlookEmulator(SMALL, folder=tmp_path) as second:
        assert second.sessions() == []
        client = Client(second)
        client.upload(message, b"again", 5)
        client.close()
        assert [each.content for each in second.attachments(MAILBOX, message)] == [b"again"]


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', '[{"address": 7}]'])
def test_a_folder_of_another_version_is_named(tmp_path: Path, text: str) -> None:
    """With what to do."""
    (tmp_path / "mailboxes.json").write_text(text)
    with pytest.raises(UnreadableFolder, match=r"mailboxes\.json"):
        OutlookEmulator(folder=tmp_path)
