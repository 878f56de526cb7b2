"""``drop`` and ``event`` with a running stack."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from infra.local.commands import run_command
from infra.local.drop import source_container
from infra.local.stack import MAILBOXES, Stack
from tests.support.e2e.api import Api

MAILBOX = MAILBOXES[0]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack that commands can find."""
    folder = tmp_path_factory.mktemp("stack")
    with (
        (folder / "log").open("wb") as log,
        Stack(log=log.fileno(), info_file=folder / "stack.json") as running,
    ):
        yield running


@pytest.fixture
def run(stack: Stack, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; its exit status, output and errors."""

    def command(*arguments: str) -> tuple[int, str, str]:
        status = run_command([*arguments, "--stack-file", str(stack._info_file)])
        return status, *capfd.readouterr()

    return command


@pytest.fixture
def item(stack: Stack) -> str:
    """A new draft."""
    return stack.outlook.add_item(MAILBOX, "message")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files, two of one name; the current folder."""
    for name in ("one.txt", "scans/two.txt", "scans/deep/two.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(os.urandom(100))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def attached(stack: Stack, item: str) -> dict[str, list[bytes]]:
    """The contents of the item's attachments, by name."""
    found: dict[str, list[bytes]] = {}
    for each in stack.outlook.attachments(MAILBOX, item):
        found.setdefault(each.name, []).append(each.content)
    return found


def test_files_folders_and_patterns_arrive(stack: Stack, run: Run, item: str, folder: Path) -> None:
    """With their own names, from any folder."""
    status, out, _ = run("drop", "one.txt", "scans", "*.txt", "--to", f"{MAILBOX}/messages/{item}")
    assert status == 0
    assert out.count(": attached: ") == 3
    found = attached(stack, item)
    assert found["one.txt"] == [(folder / "one.txt").read_bytes()]
    both = [(folder / name).read_bytes() for name in ("scans/two.txt", "scans/deep/two.txt")]
    assert sorted(found["two.txt"]) == sorted(both)


def test_json_is_a_line_per_file(stack: Stack, run: Run, item: str, folder: Path) -> None:
    """The transfer as the API shows it; nothing else on the standard output."""
    status, out, _ = run("drop", "scans", "--json", "--to", f"{MAILBOX}/messages/{item}")
    assert status == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [each["file"] for each in lines] == ["scans/deep/two.txt", "scans/two.txt"]
    for line in lines:
        shown = Api(stack).transfer(line["id"])
        assert line["attachmentId"] == shown["attachmentId"]
        assert line["state"] == shown["state"] == "attached"


def test_one_failure_is_reported_beside_the_others(
    stack: Stack, run: Run, item: str, folder: Path
) -> None:
    """Status 1, and a reason; a file that storage refuses, too."""
    to = f"{MAILBOX}/messages/{item}"
    name = f"{MAILBOX}/messages/{quote(item, safe='=')}/one.txt"
    leased = source_container(stack.info).upload_blob(name, b"earlier")
    lease = leased.acquire_lease()
    status, out, _ = run("drop", "one.txt", "scans/two.txt", "--json", "--to", to)
    lease.release()
    refused, other = (json.loads(line) for line in out.splitlines())
    assert status == 1
    assert (refused["state"], refused["error"]["code"]) == ("failed", "NotUploaded")
    assert other["state"] == "attached"
    status, _, err = run("drop", "one.txt", "--to", "nobody@contoso.com/messages/M")
    assert status == 1
    assert "one.txt: failed: ItemNotFound: " in err


def test_metadata_and_content_id_reach_blob_and_attachment(
    stack: Stack, run: Run, item: str, folder: Path
) -> None:
    """A picture that the HTML body can show."""
    to = f"{MAILBOX}/messages/{item}"
    options = ["--content-id", "logo@contoso", "--metadata", "project=Zoë", "--metadata", "n=1"]
    assert run("drop", "one.txt", "--to", to, *options)[0] == 0
    (attachment,) = stack.outlook.attachments(MAILBOX, item)
    assert (attachment.is_inline, attachment.content_id) == (True, "logo@contoso")
    records = [
        each.metadata
        for each in source_container(stack.info).list_blobs(include=["metadata"])
        if each.metadata and each.metadata.get("attachmentid") == attachment.id
    ]
    assert [(each["project"], each["n"]) for each in records] == [("Zo%C3%AB", "1")]


def test_metadata_can_name_the_item(stack: Stack, run: Run, item: str, folder: Path) -> None:
    """In place of --to."""
    names = ["--metadata", f"mailbox={MAILBOX}", "--metadata", f"messageid={item}"]
    assert run("drop", "one.txt", *names)[0] == 0
    assert [*attached(stack, item)] == ["one.txt"]


def blobs(stack: Stack) -> list[str]:
    return [each.name for each in source_container(stack.info).list_blobs()]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["one.txt", "none.txt", "--to", "TO"], "none.txt"),
        (["one.txt"], "--to"),
        (["one.txt", "--to", "somewhere"], "MAILBOX/messages/ID"),
        (["one.txt", "--to", "TO", "--metadata", "mailbox=a@contoso.com"], "not by both"),
        (["one.txt", "--metadata", "mailbox=a@contoso.com"], "messageid"),
        (["scans", "--to", "TO", "--content-id", "x"], "one file"),
        (["one.txt", "--to", "TO", "--metadata", "x"], "KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_reported_before_anything_is_uploaded(
    stack: Stack, run: Run, item: str, arguments: list[str], words: str
) -> None:
    """One sentence, status 2."""
    before = blobs(stack)
    to = f"{MAILBOX}/messages/{item}"
    status, _, err = run("drop", *(to if each == "TO" else each for each in arguments))
    assert (status, len(err.splitlines())) == (2, 1)
    assert words in err
    assert blobs(stack) == before


def test_each_file_has_one_line(
    run: Run, item: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its name is, and with brackets in it."""
    monkeypatch.setenv("COLUMNS", "100")
    names = [f"{'very ' * 30}long name.txt", "[red]not a colour[blue].txt"]
    for name in names:
        (folder / name).write_text("x")
    status, out, _ = run("drop", *names, "--to", f"{MAILBOX}/messages/{item}")
    bars = [line for line in out.splitlines() if "bytes" in line]
    assert status == 0
    assert len(bars) == 2
    assert all(len(line) <= 100 for line in out.splitlines()[:2])
    assert "[red]not a colour[blue].txt" in bars[1]


def test_examples_of_events_start_transfers(stack: Stack, run: Run, item: str) -> None:
    """Each event in each schema; one of them when it is named."""
    to = f"{MAILBOX}/messages/{item}"
    status, out, _ = run("event", "--to", to)
    assert status == 0
    assert out.count("202, attached") == 4
    assert len(stack.outlook.attachments(MAILBOX, item)) == 4
    status, out, _ = run("event", "blob-created", "--schema", "cloud-events")
    assert (status, out.count("202, attached")) == (0, 1)
    assert '"specversion": "1.0"' in out


def test_an_event_without_an_example_is_refused(run: Run) -> None:
    """With those that there are."""
    status, _, err = run("event", "blob-deleted")
    assert status == 2
    assert "attach-requested and blob-created" in err
