"""The commands of the local stack, in processes of their own."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from infra.local.drop import source_container
from infra.local.outlook import OutlookEmulator
from infra.local.stack_info import StackInfo
from tests.support.commands import run, started

MAILBOX = "reports@contoso.com"


def options(folder: Path) -> list[str]:
    """A stack of its own, no matter what else runs on this machine."""
    file, data = str(folder / "stack.json"), str(folder / "data")
    return ["--port", "0", "--stack-file", file, "--data", data]


def running(folder: Path) -> StackInfo:
    """The stack that runs with these options."""
    return StackInfo.read(folder / "stack.json")


@pytest.fixture
def outside_graph() -> Iterator[OutlookEmulator]:
    """A Graph that the stack did not start."""
    with OutlookEmulator() as outlook:
        outlook.add_mailbox(MAILBOX)
        yield outlook


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_behind(how: signal.Signals, tmp_path: Path) -> None:
    """No process, no port, no stack file; the same when a service manager ends it."""
    with started(*options(tmp_path)) as (process, _):
        port = urlsplit(running(tmp_path).functions_url).port
        assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.send_signal(how)
        assert process.wait(timeout=30) == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert not (tmp_path / "stack.json").exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_the_pages_link_is_printed_and_no_key(tmp_path: Path) -> None:
    """With an item in its fragment, which is not sent to the server."""
    with started(*options(tmp_path)) as (_, lines):
        key = running(tmp_path).function_key
        (link,) = [line.split()[1] for line in lines if line.startswith("Page ")]
        page = requests.get(link, timeout=10)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "/api/monitor#mailbox=reports%40contoso.com&message=" in link
    assert not [line for line in lines if key in line]


def test_the_unkind_engine_names_its_seed(tmp_path: Path) -> None:
    """So that what it did can be tried again."""
    with started(*options(tmp_path), "--engine", "unkind:7") as (_, lines):
        assert any(line.split() == ["Engine", "unkind:7"] for line in lines), lines


def test_a_killed_stack_leaves_no_process_behind(tmp_path: Path) -> None:
    """SIGKILL of the main process also ends its children; drop reports that it is gone."""
    with started(*options(tmp_path)) as (process, _):
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    file = tmp_path / "stack.json"
    assert file.exists()
    done = run("drop", __file__, "--to", f"{MAILBOX}/messages/M", "--stack-file", str(file))
    assert (done.returncode, "make start" in done.stderr) == (3, True)


def test_a_killed_stack_keeps_its_data(tmp_path: Path) -> None:
    """Blobs, items and attachments are there at the next start."""
    file = tmp_path / "kept.txt"
    file.write_text("kept")
    stack = ["--stack-file", str(tmp_path / "stack.json")]
    with started(*options(tmp_path)) as (process, lines):
        (to,) = re.findall(rf"--to ({MAILBOX}/messages/\S+)", "".join(lines))
        assert run("drop", str(file), "--to", to, *stack).returncode == 0
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    with started(*options(tmp_path)) as (_, lines):
        assert f"--to {to}\n" in "".join(lines)
        (blob,) = source_container(running(tmp_path)).list_blobs(include=["metadata"])
        assert blob.metadata["attachmentstatus"] == "attached"


def test_a_second_start_reports_the_first(tmp_path: Path) -> None:
    """In one sentence, with its address; the first goes on."""
    with started(*options(tmp_path)):
        first = running(tmp_path)
        second = run("start", *options(tmp_path))
        assert running(tmp_path) == first
        first.check_alive()
    assert second.returncode == 3
    assert first.functions_url in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_a_file_dropped_from_another_terminal_arrives(
    outside_graph: OutlookEmulator, tmp_path: Path
) -> None:
    """``start`` with another Graph, and ``drop`` in another process."""
    item = outside_graph.add_item(MAILBOX, "event")
    file = tmp_path / "minutes of the meeting.txt"
    file.write_bytes(os.urandom(12_345))
    identity = {
        "IDENTITY_ENDPOINT": outside_graph.identity_endpoint,
        "IDENTITY_HEADER": outside_graph.identity_header,
    }
    with started(*options(tmp_path), "--graph-url", outside_graph.url, **identity):
        assert running(tmp_path).graph_url == outside_graph.url
        stack = ["--stack-file", str(tmp_path / "stack.json")]
        done = run("drop", str(file), "--to", f"{MAILBOX}/events/{item}", *stack)
    (attachment,) = outside_graph.attachments(MAILBOX, item)
    assert attachment.content == file.read_bytes()
    assert attachment.name == file.name
    assert done.returncode == 0, done.stderr
    assert f"attached: {attachment.id}" in done.stdout


def test_drop_says_what_is_wrong(tmp_path: Path) -> None:
    """No file, no such item: one sentence each."""
    file = tmp_path / "x.txt"
    file.write_text("x")
    stack = ["--stack-file", str(tmp_path / "stack.json")]
    with started(*options(tmp_path)):
        missing = run("drop", str(tmp_path / "none"), "--to", f"{MAILBOX}/messages/M", *stack)
        nowhere = run("drop", str(file), "--to", "somewhere", *stack)
        unknown = run("drop", str(file), "--to", "nobody@contoso.com/messages/M", *stack)
    assert "cannot be read" in missing.stderr
    assert "MAILBOX/messages/ID" in nowhere.stderr
    assert "failed: ItemNotFound: " in unknown.stderr
    assert [each.returncode for each in (missing, nowhere, unknown)] == [2, 2, 1]
    for refused in (missing, nowhere, unknown):
        assert "Traceback" not in refused.stderr


def test_the_demo_compares_the_bytes() -> None:
    """Two ids, equal hashes, exit status 0."""
    done = run("demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("attachmentid: ") == 2
    assert done.stdout.count("The attachment's bytes are equal.") == 2
