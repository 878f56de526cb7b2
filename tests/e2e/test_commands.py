"""The commands of the local stack, in processes of their own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from infra.local.outlook import OutlookEmulator
from infra.local.stack import STACK_FILE, StackInfo

MAILBOX = "reports@contoso.com"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.local", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """``start`` with these arguments, ready, and what it printed; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local", "start", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "ready\n"))
        assert process.poll() is None, lines
        yield process, lines
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def outside_graph() -> Iterator[OutlookEmulator]:
    """A Graph that the stack did not start."""
    with OutlookEmulator() as outlook:
        outlook.add_mailbox(MAILBOX)
        yield outlook


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_behind(how: signal.Signals) -> None:
    """No process, no port, no stack file; the same when a service manager ends it."""
    port = free_port()
    with started("--port", str(port)) as (process, _):
        assert StackInfo.read(STACK_FILE).functions_url == f"http://127.0.0.1:{port}"
        assert STACK_FILE.stat().st_mode & 0o077 == 0
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.send_signal(how)
        assert process.wait(timeout=30) == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert not STACK_FILE.exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_the_pages_link_is_printed_and_no_key() -> None:
    """With an item in its fragment, which is not sent to the server."""
    with started("--port", str(free_port())) as (_, lines):
        key = StackInfo.read(STACK_FILE).function_key
        (link,) = [line.split()[1] for line in lines if line.startswith("Page ")]
        page = requests.get(link, timeout=10)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "/api/monitor#mailbox=reports%40contoso.com&message=" in link
    assert not [line for line in lines if key in line]


def test_a_killed_stack_leaves_no_process_behind() -> None:
    """SIGKILL of the main process also ends its children; drop reports that it is gone."""
    with started("--port", str(free_port())) as (process, _):
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert STACK_FILE.exists()
    done = run("drop", __file__, "--to", f"{MAILBOX}/messages/M")
    assert (done.returncode, "make start" in done.stderr) == (1, True)
    STACK_FILE.unlink()


def test_another_start_does_not_disturb_a_running_stack() -> None:
    """A second start on the same port fails, and the first stack can still be found."""
    port = str(free_port())
    with started("--port", port):
        assert run("start", "--port", port).returncode == 1
        StackInfo.read(STACK_FILE).check_alive()


def test_a_port_in_use_is_reported_in_one_sentence() -> None:
    """With the port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("start", "--port", str(port))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "--port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


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
    with pytest.MonkeyPatch.context() as environment:
        for name, value in identity.items():
            environment.setenv(name, value)
        arguments = ("--port", str(free_port()), "--graph-url", outside_graph.url)
        with started(*arguments):
            assert StackInfo.read(STACK_FILE).graph_url == outside_graph.url
            done = run("drop", str(file), "--to", f"{MAILBOX}/events/{item}")
    (attachment,) = outside_graph.attachments(MAILBOX, item)
    assert attachment.content == file.read_bytes()
    assert attachment.name == file.name
    assert done.returncode == 0, done.stderr
    assert f"attached: {attachment.id}" in done.stdout


def test_drop_says_what_is_wrong(tmp_path: Path) -> None:
    """No stack, no file, no item: one sentence each."""
    STACK_FILE.unlink(missing_ok=True)
    file = tmp_path / "x.txt"
    file.write_text("x")
    done = run("drop", str(file), "--to", f"{MAILBOX}/messages/M")
    assert (done.returncode, "make start" in done.stderr) == (1, True)
    with started("--port", str(free_port())):
        missing = run("drop", str(tmp_path / "none"), "--to", f"{MAILBOX}/messages/M")
        nowhere = run("drop", str(file), "--to", "somewhere")
        unknown = run("drop", str(file), "--to", "nobody@contoso.com/messages/M")
    assert "cannot be read" in missing.stderr
    assert "MAILBOX/messages/ID" in nowhere.stderr
    assert "failed: ItemNotFound: " in unknown.stderr
    for refused in (missing, nowhere, unknown):
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr


def test_the_demo_compares_the_bytes() -> None:
    """Two ids, equal hashes, exit status 0."""
    done = run("demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("attachmentid: ") == 2
    assert done.stdout.count("The attachment's bytes are equal.") == 2
