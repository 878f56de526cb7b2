"""Mailboxes with every character that an address may hold, from a blob to Outlook."""

from urllib.parse import quote

import pytest

from tests.conftest import MakeHarness

ODD = [f"a{character}b@contoso.com" for character in "!#$%&'*+-/=?^_`{|}~."]
GUEST = "guest_fabrikam.com#EXT#@contoso.onmicrosoft.com"


@pytest.mark.parametrize("by_path", [False, True])
def test_every_mailbox_gets_its_file(make_harness: MakeHarness, *, by_path: bool) -> None:
    """Encoded once in metadata or path, and once in the URL of each request."""
    harness = make_harness()
    for mailbox in (*ODD, GUEST):
        harness.emulator.add_mailbox(mailbox.lower())
        item = harness.emulator.add_item(mailbox.lower(), "message")
        encoded = quote(mailbox, safe="")
        name = f"{encoded}/messages/{quote(item, safe='')}/x.pdf" if by_path else "x.pdf"
        metadata = {} if by_path else {"mailbox": encoded, "messageid": quote(item)}
        harness.put(name, b"hello", **metadata)
        status = harness.transfer(name)
        assert (status.state, status.mailbox) == ("attached", mailbox.lower())
        (attachment,) = harness.emulator.attachments(mailbox.lower(), item)
        assert attachment.content == b"hello"


def test_the_allow_list_is_what_refuses_it(make_harness: MakeHarness) -> None:
    """Such a mailbox is like any other."""
    harness = make_harness(allowed_mailboxes="*@contoso.com")
    harness.put("x.pdf", b"1", mailbox=quote(GUEST), messageid="M=")
    status = harness.transfer("x.pdf")
    assert status.error is not None
    assert status.error.code == "MailboxNotAllowed"
