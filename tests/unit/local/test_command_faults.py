"""Wrong arguments, settings, ports and folders: one sentence each, and a fitting exit status."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.commands import run_command

Refused = Callable[..., tuple[int, str]]


@pytest.fixture
def refusal(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a command that is refused; its exit status and its one line."""

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status = run_command(arguments)
        _, line = capfd.readouterr()
        assert len(line.splitlines()) == 1, line
        return status, line

    return run


@contextmanager
def taken_port() -> Iterator[str]:
    """A port on which another program listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "7071.5", ""])
def test_a_port_is_a_number_below_65536(refusal: Refused, port: str) -> None:
    """The sentence names the value and the range."""
    status, line = refusal("start", f"--port={port}")
    assert status == 2
    assert f"{port!r}" in line
    assert "65535" in line


@pytest.mark.parametrize("engine", ["cruel", "unkind:x", ""])
def test_an_engine_is_kind_or_unkind(refusal: Refused, engine: str) -> None:
    """The sentence names the value and an example."""
    status, line = refusal("start", f"--engine={engine}")
    assert status == 2
    assert f"{engine!r}" in line
    assert "unkind:7" in line


def test_a_port_in_use_is_named(refusal: Refused) -> None:
    """With what to do."""
    with taken_port() as port:
        status, line = refusal("start", "--port", port)
    assert status == 2
    assert port in line
    assert "--port" in line


def test_all_wrong_settings_are_named_at_once(refusal: Refused) -> None:
    """In one line, by name."""
    status, line = refusal("start", "--port", "0", RANGE_BYTES="abc", GRAPH_CLOUD="mars")
    assert status == 2
    assert "RANGE_BYTES: " in line
    assert "GRAPH_CLOUD: " in line


@pytest.mark.parametrize(
    "setting", [{"SOURCE_CONTAINER": "A_B"}, {"AzureWebJobsStorage": "nothing"}]
)
def test_a_wrong_setting_of_storage_is_named(refusal: Refused, setting: dict[str, str]) -> None:
    """The same for containers and connection strings."""
    status, line = refusal("start", "--port", "0", **setting)
    assert status == 2
    assert next(iter(setting)) in line


def test_a_graph_url_is_https_or_loopback(refusal: Refused) -> None:
    """The sentence says so."""
    status, line = refusal("start", "--port", "0", "--graph-url", "ftp://contoso.com")
    assert status == 2
    assert "https" in line


@pytest.mark.parametrize("option", ["--data", "--stack-file"])
def test_a_folder_that_cannot_be_written_is_named(
    refusal: Refused, tmp_path: Path, option: str
) -> None:
    """A file stands where a folder is needed."""
    blocked = tmp_path / "file" / "below"
    blocked.parent.write_text("")
    status, line = refusal("start", "--port", "0", option, str(blocked))
    assert status == 2
    assert str(tmp_path / "file") in line


@pytest.mark.parametrize("content", ["", "{", "[]", '{"functionsUrl": 1}'])
def test_a_stack_file_that_is_no_stack_file_is_named(
    refusal: Refused, tmp_path: Path, content: str
) -> None:
    """It may be of another version."""
    file = tmp_path / "stack.json"
    file.write_text(content)
    status, line = refusal(
        "drop", __file__, "--to", "a@contoso.com/messages/M", "--stack-file", str(file)
    )
    assert status == 3
    assert str(file) in line


def test_a_stack_that_does_not_run_is_reported(refusal: Refused, tmp_path: Path) -> None:
    """With the command that starts it."""
    file = str(tmp_path / "stack.json")
    status, line = refusal(
        "drop", __file__, "--to", "a@contoso.com/messages/M", "--stack-file", file
    )
    assert status == 3
    assert "make start" in line


@pytest.mark.parametrize("arguments", [(), ("fly",), ("drop",), ("start", "--speed", "9")])
def test_wrong_arguments_are_one_sentence(refusal: Refused, arguments: tuple[str, ...]) -> None:
    """And how to get help."""
    status, line = refusal(*arguments)
    assert status == 2
    assert "--help" in line
