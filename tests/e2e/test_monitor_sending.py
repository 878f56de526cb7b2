"""Files uploaded on the monitor page in a real browser, and attached."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from infra.local.outlook import catalogue
from infra.local.stack import MAILBOXES, Stack
from tests.support.e2e.api import Api
from tests.support.e2e.browser import Page
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

MAILBOX = MAILBOXES[0]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the app's log."""
    return tmp_path_factory.mktemp("log") / "app.log"


@pytest.fixture(scope="module")
def new_stack(log: Path) -> Iterator[Stack]:
    """A stack without transfers, whose app allows one domain."""
    settings = {"RANGE_BYTES": "1000000", "RANGES_PER_ACTIVITY": "2"}
    settings["ALLOWED_MAILBOXES"] = "*@contoso.com"
    with log.open("wb") as file, Stack(settings=settings, log=file.fileno()) as running:
        yield running


@pytest.fixture
def page(browser: Chrome, new_stack: Stack) -> Iterator[Page]:
    """The page, wide and light; no violation of the content security policy at the end."""
    page = Page(browser, Api(new_stack))
    page.look()
    page.log_entries()
    yield page
    page.slow_down(None)
    new_stack.outlook.faults.clear()
    assert [each for each in page.log_entries() if "Content Security" in each] == []


def address(mailbox: str, kind: str, item: str) -> str:
    return f"#mailbox={mailbox}&{kind}={item.replace('=', '%3D')}"


def file_of(folder: Path, name: str, size: int) -> Path:
    file = folder / name
    file.write_bytes(os.urandom(size))
    return file


def test_a_first_file_is_dropped_watched_and_attached(
    page: Page, new_stack: Stack, tmp_path: Path
) -> None:
    """From the empty page to equal bytes at Outlook; README's pictures are taken here."""
    item, _ = new_stack.items[MAILBOX]
    page.open(address(MAILBOX, "message", item))
    page.see("#empty", "No transfers yet.")
    page.check("empty")
    page.api.put("invoice 0042.pdf", os.urandom(400_000), mailbox=MAILBOX, messageid=item)
    page.api.put("minutes.docx", os.urandom(9_000), mailbox=MAILBOX)
    file = file_of(tmp_path, "quarterly report.pdf", 6_000_000)
    page.drop(file)
    assert page.driver.switch_to.active_element.text == "Send"
    page.api.hold("range", catalogue.throttled("1"), after=2)
    page.press("Send")
    page.see("#uploads a", "View the transfer")
    page.see("#transfers .percent", "33 %")
    page.api.hold("range", catalogue.throttled("1"), after=2)
    page.see("#transfers .number", " left")
    page.see("#chart .key", "1 attached")
    page.shoot("readme-list")
    page.check("sending")
    new_stack.outlook.faults.clear()
    page.click("#uploads a")
    page.see("#detail .state", "attached")
    page.see("#detail section .facts")
    page.shoot("readme-detail")
    attachment = new_stack.outlook.attachments(MAILBOX, item)[-1]
    assert (attachment.name, attachment.content) == (file.name, file.read_bytes())
    assert attachment.content_type == "application/pdf"


def test_several_files_of_any_name_go_to_an_event(
    page: Page, new_stack: Stack, tmp_path: Path
) -> None:
    """One after the other, one of them with HTML as its name."""
    event = new_stack.outlook.add_item(MAILBOX, "event")
    page.open(address(MAILBOX, "event", event))
    page.see("#send-files")
    files = [file_of(tmp_path, name, 10) for name in ("Überweisung 100%.txt", HOSTILE, "empty")]
    files[2].write_bytes(b"")
    page.drop(*files)
    page.press("Send")
    until(lambda: len(page.all("#uploads a")) == len(files) or None)
    assert page.texts("#uploads strong") == [file.name for file in files]
    sent = {file.name: file.read_bytes() for file in files}

    def arrived() -> bool | None:
        found = new_stack.outlook.attachments(MAILBOX, event)
        return {each.name: each.content for each in found} == sent or None

    assert until(arrived)
    assert page.driver.execute_script("return document.querySelectorAll('img').length") == 0


def test_a_mailbox_that_is_not_allowed_gets_no_upload(
    page: Page, new_stack: Stack, tmp_path: Path
) -> None:
    """The page shows why, nothing is stored, and the file stays selected; then it is sent."""
    item = new_stack.outlook.add_item(MAILBOX, "message")
    before = list(page.api.container.list_blob_names())
    page.open(address("someone@elsewhere.com", "message", item))
    page.drop(file_of(tmp_path, "a.txt", 10))
    page.press("Send")
    page.see("#uploads .error", "Mailbox someone@elsewhere.com is not allowed.")
    assert list(page.api.container.list_blob_names()) == before
    page.see("#send-mailbox").clear()
    page.see("#send-mailbox").send_keys(MAILBOX)
    page.press("Send")
    page.see("#uploads a")
    assert until(lambda: new_stack.outlook.attachments(MAILBOX, item) or None)


def test_sending_shows_progress_and_can_be_stopped(
    page: Page, new_stack: Stack, tmp_path: Path
) -> None:
    """On a slow connection: nothing of a stopped file is stored."""
    item = new_stack.outlook.add_item(MAILBOX, "message")
    before = list(page.api.container.list_blob_names())
    page.open(address(MAILBOX, "message", item))
    page.drop(file_of(tmp_path, "slow.bin", 3_000_000))
    page.slow_down(300_000)
    page.press("Send")
    some = "const bar = document.querySelector('#uploads progress');"
    until(lambda: page.driver.execute_script(f"{some} return bar?.position > 0.1 || null"))
    page.press("Stop")
    page.see("#uploads .error", "Stopped.")
    assert list(page.api.container.list_blob_names()) == before


def test_no_signature_was_logged(page: Page, log: Path) -> None:
    """A pre-signed upload URL is a credential."""
    assert page.api.call("POST", "/uploads", json={}).status_code == 400
    logged = log.read_text()
    assert "by-hand/" in logged
    assert "sig=" not in logged
