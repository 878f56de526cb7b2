"""Transfers on the monitor page in a real browser, with the local stack."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys

from infra.local.outlook import catalogue
from infra.local.stack import Stack
from tests.support.e2e.api import Api
from tests.support.e2e.browser import Page
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

HOSTILE = "<img src=x onerror=alert(1)>"

_mailboxes = count()


@pytest.fixture
def page(browser: Chrome, stack: Stack) -> Iterator[Page]:
    """The page, wide and light; no violation of the content security policy at the end."""
    page = Page(browser, Api(stack))
    page.look()
    page.log_entries()
    yield page
    page.block()
    stack.outlook.faults.clear()
    assert [each for each in page.log_entries() if "Content Security" in each] == []


@pytest.fixture
def mailbox(stack: Stack) -> str:
    """A mailbox for this test only, so that no other test delays it."""
    name = f"watched{next(_mailboxes)}@contoso.com"
    stack.outlook.add_mailbox(name)
    return name


def put(page: Page, mailbox: str, name: str, content: bytes) -> str:
    """Upload a blob for a new draft; the draft's id."""
    item = page.api.stack.outlook.add_item(mailbox, "message")
    metadata = {"mailbox": mailbox, "messageid": item}
    page.api.container.upload_blob(f"{mailbox}-{name}", content, metadata=metadata)
    return item


def only(page: Page, mailbox: str) -> None:
    """Show the transfers of one mailbox only."""
    page.see("#filter-mailbox").send_keys(mailbox, Keys.ENTER)
    until(lambda: set(page.texts("#transfers .to span:first-child")) == {mailbox} or None)


def open_detail(page: Page, name: str) -> None:
    page.click("#transfers a", name)
    page.see("#detail-heading", name)
    page.see("#detail .timeline")


def test_the_key_is_entered_once_and_never_in_a_url(page: Page) -> None:
    """A wrong key is refused; the right one is stored for the tab, and can be deleted."""
    page.load()
    page.driver.execute_script("sessionStorage.clear()")
    page.load()
    page.see("#key").send_keys("wrong", Keys.ENTER)
    page.see("#error", "The function key is wrong.")
    key = page.api.stack.info.function_key
    page.see("#key").send_keys(key, Keys.ENTER)
    page.see("#filters")
    page.load()
    page.see("#filters")

    def requested() -> list[str] | None:
        names = "return performance.getEntriesByType('resource').map((each) => each.name)"
        urls: list[str] = page.run(names)
        return urls if any("/api/transfers?" in url for url in urls) else None

    urls = until(requested)
    assert not [url for url in [*urls, page.driver.current_url] if key in url]
    page.press("Remove the key")
    page.see("#key")
    assert page.driver.execute_script("return sessionStorage.length") == 0


def test_the_list_shows_the_state_of_transfers(page: Page, mailbox: str) -> None:
    """Newest first, with state, item, size and progress; filtered by mailbox and state."""
    item = put(page, mailbox, "old.pdf", os.urandom(3_900_000))
    until(lambda: page.api.stack.outlook.attachments(mailbox, item) or None)
    put(page, mailbox, "new.pdf", os.urandom(10))
    page.open()
    only(page, mailbox)
    until(lambda: page.texts("#transfers .state") == ["✓ attached"] * 2 or None)
    assert page.texts("#transfers tbody a") == [f"{mailbox}-new.pdf", f"{mailbox}-old.pdf"]
    row = page.all("#transfers tbody tr")[1].text
    assert all(text in row for text in (mailbox, item[:10], "100 %", "3.9 MB", "took "))
    page.see("#filter-state").send_keys("failed")
    page.see("#empty", "No transfer matches.")


def test_progress_is_live(page: Page, mailbox: str) -> None:
    """A third, then more with speed and remaining time, then all: without a reload."""
    page.api.hold("range", catalogue.throttled("1"), after=2)
    put(page, mailbox, "live.bin", os.urandom(6_000_000))
    page.open()
    only(page, mailbox)
    page.see("#transfers .percent", "33 %")
    page.api.hold("range", catalogue.throttled("1"), after=2)
    page.see("#transfers .number", " left")
    page.api.stack.outlook.faults.clear()
    page.see("#transfers .percent", "100 %")
    page.see("#transfers .state", "attached")
    page.see("#transfers .number", "took ")


def test_a_transfer_is_cancelled(page: Page, mailbox: str) -> None:
    """While it waits; its steps show that, and Outlook has no session or attachment."""
    page.api.hold("range", catalogue.throttled("6"))
    item = put(page, mailbox, "long.bin", os.urandom(3_200_000))
    page.open()
    only(page, mailbox)
    page.see("#transfers .state", "waiting")
    open_detail(page, "long.bin")
    page.see(".timeline [aria-current=step]", "Waiting for the mailbox")
    page.press("Cancel")
    page.see("#detail .state", "cancelled")
    page.see(".timeline li", "Ended: cancelled")
    assert page.api.stack.outlook.attachments(mailbox, item) == []
    assert not [each for each in page.api.stack.outlook.open_sessions() if each.item == item]


def test_a_failure_says_what_to_do_and_is_tried_again(page: Page, mailbox: str) -> None:
    """The mailbox was full, and is not any more."""
    content = os.urandom(3_200_000)
    page.api.next_fails("create", catalogue.too_large())
    item = put(page, mailbox, "full.pdf", content)
    page.open()
    only(page, mailbox)
    page.see("#transfers .state", "failed")
    open_detail(page, "full.pdf")
    failure = page.see(".failure").text
    assert failure.startswith("MailboxLimitExceeded: ")
    assert "What to do: The administrator of the mailbox raises" in failure
    page.press("Try again")
    page.see("#detail .state", "attached")
    assert not page.all(".failure")
    (attachment,) = page.api.stack.outlook.attachments(mailbox, item)
    assert attachment.content == content


def test_an_attachment_is_shown_downloaded_and_removed(
    page: Page, mailbox: str, tmp_path: Path
) -> None:
    """A removal must be confirmed; afterwards the file can be attached again."""
    content = os.urandom(50_000)
    item = put(page, mailbox, "after.pdf", content)
    page.open()
    only(page, mailbox)
    page.see("#transfers .state", "attached")
    open_detail(page, "after.pdf")
    page.see("#detail section dd", f"{mailbox}-after.pdf")
    page.downloads_to(tmp_path)
    page.press("Download")
    file = tmp_path / f"{mailbox}-after.pdf"
    assert until(lambda: file.read_bytes() if file.exists() else None) == content
    page.press("Remove from the item")
    page.press("No")
    assert page.api.stack.outlook.attachments(mailbox, item)
    page.press("Remove from the item")
    page.press("Yes")
    page.see("#detail .note", "does not hold the attachment any more")
    assert page.api.stack.outlook.attachments(mailbox, item) == []
    page.press("Try again")
    page.see("#detail section dd", f"{mailbox}-after.pdf")
    assert [each.content for each in page.api.stack.outlook.attachments(mailbox, item)] == [content]


def test_hostile_names_stay_text(page: Page, mailbox: str) -> None:
    """In list, detail and error: shown unchanged, and never executed."""
    metadata = {"mailbox": mailbox, "eventid": "<b>bold</b>"}
    page.api.container.upload_blob(f"{mailbox}/{HOSTILE}", b"x", metadata=metadata)
    page.open()
    only(page, mailbox)
    assert page.texts("#transfers tbody a") == [HOSTILE]
    assert page.texts("#transfers .id") == ["event <b>bold</b>"]
    open_detail(page, HOSTILE)
    assert page.driver.title == "Transfers to Outlook"
    made = "return document.querySelectorAll('img, b, [onerror]').length"
    assert page.driver.execute_script(made) == 0
    refused = page.run(f"document.body.innerHTML = '{HOSTILE}'")
    assert "TrustedHTML" in refused
    page.log_entries()


def test_the_list_has_pages(page: Page, mailbox: str) -> None:
    """25 transfers each, newest first."""
    for number in range(27):
        put(page, mailbox, f"{number}.txt", b"%d" % number)
    page.open()
    only(page, mailbox)
    until(lambda: len(page.all("#transfers tbody tr")) == 25 or None)
    page.press("Older")
    until(lambda: len(page.all("#transfers tbody tr")) == 2 or None)
    assert page.see("#page-number").text == "Page 2"
    assert not page.see("#older").is_enabled()
    page.press("Newer")
    until(lambda: len(page.all("#transfers tbody tr")) == 25 or None)


def test_the_keyboard_is_enough(page: Page, mailbox: str) -> None:
    """Enter opens a transfer and focuses its heading; back restores the focus."""
    put(page, mailbox, "key.pdf", b"x")
    page.open()
    only(page, mailbox)
    link = page.see("#transfers a", "key.pdf")
    while page.driver.switch_to.active_element != link:
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    link.send_keys(Keys.ENTER)
    page.see("#detail .timeline")
    assert page.driver.switch_to.active_element == page.see("#detail-heading")
    page.driver.back()
    page.see("#transfers a", "key.pdf")
    until(lambda: page.driver.switch_to.active_element == link or None)


def test_an_unreachable_app_is_reported(page: Page) -> None:
    """The request is repeated until the app responds."""
    page.open()
    page.see("#transfers, #empty")
    page.block("/api/transfers")
    page.see("#filter-mailbox").send_keys("x", Keys.ENTER)
    page.see("#error", "The app does not answer. Next try in ")
    page.block()
    until(lambda: None if page.all("#error") else True)
    page.log_entries()


def test_polling_slows_down_when_nothing_changes(page: Page) -> None:
    """In milliseconds: with progress, without, hidden; after failures; with Retry-After."""
    page.load()
    states = [
        {"active": True},
        {},
        {"active": True, "hidden": True},
        {"failures": 1},
        {"active": True, "failures": 20},
        {"retryAfter": 90},
    ]
    delays = page.run(
        "const { nextDelay } = await import('/api/monitor/polling.js');"
        "return arguments[0].map(nextDelay)",
        states,
    )
    assert delays == [2_000, 8_000, 60_000, 2_000, 60_000, 90_000]


def test_the_chart_counts_by_half_hours(page: Page) -> None:
    """Bytes of what is attached, and how each transfer ended."""
    page.load()
    slots = page.run(
        "const { slotsOf } = await import('/api/monitor/chart.js');"
        "const now = Date.UTC(2026, 0, 1, 12);"
        "const ago = (minutes) => new Date(now - minutes * 60_000).toISOString();"
        "return slotsOf(["
        "  { createdAt: ago(1), state: 'attached', size: 7 },"
        "  { createdAt: ago(29), state: 'failed', size: 9 },"
        "  { createdAt: ago(31), state: 'uploading', size: 9 },"
        "  { createdAt: ago(719), state: 'superseded', size: 9 },"
        "  { createdAt: ago(721), state: 'attached', size: 9 },"
        "], now).map((slot) => [slot.bytes, ...Object.values(slot.counts)])"
    )
    assert len(slots) == 24
    assert (slots[23], slots[22], slots[0]) == ([7, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0])
    assert not [slot for slot in slots[1:22] if any(slot)]


def test_axe_finds_nothing(page: Page, mailbox: str) -> None:
    """In every view, light and wide, dark and on a phone; with screenshots."""
    put(page, mailbox, "good.pdf", os.urandom(3_200_000))
    page.api.container.upload_blob(f"{mailbox}-half.pdf", b"x", metadata={"mailbox": mailbox})
    page.load()
    page.driver.execute_script("sessionStorage.clear()")
    page.load()
    page.see("#key")
    page.check("key")
    page.open()
    page.see("#transfers a", "half.pdf")
    page.click("#chart summary")
    page.check("list")
    page.see("#filter-mailbox").send_keys("never-written-to@contoso.com", Keys.ENTER)
    page.see("#empty", "No transfer")
    page.check("nothing")
    page.open()
    open_detail(page, "half.pdf")
    page.check("failed")
    page.driver.back()
    open_detail(page, "good.pdf")
    page.see("#detail section .facts")
    page.check("attached")
    page.press("Remove from the item")
    page.see("#confirmation-text")
    page.check("confirmation")
    page.press("No")
