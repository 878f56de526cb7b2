"""The installation of the stack's parts: what it uses, what it prints, and what it takes."""

import os
import re
import threading
from pathlib import Path

import pytest

from infra.local.install import (
    InstallError,
    Step,
    is_current,
    megabytes,
    remove_what_is_not_run,
    run,
)
from infra.local.node import find_node, node_of_path

ROOT = Path(__file__).parents[3]
DEVELOPMENT = {"mypy", "ruff", "selenium", "schemathesis", "hypothesis", "pytest", "uv"}


def program(folder: Path, name: str, script: str) -> None:
    """A program on PATH."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def step(*command: str, folder: Path) -> Step:
    return Step("A part", command, folder, 7)


@pytest.mark.parametrize(
    ("version", "npm", "usable"),
    [
        ("echo v20.0.0", True, True),
        ("echo v26.1.0", True, True),
        ("echo v18.20.1", True, False),
        ("echo v22.0.0", False, False),
        ("echo nonsense", True, False),
        ("exit 1", True, False),
        (None, True, False),
    ],
)
def test_a_new_enough_node_with_npm_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, *, npm: bool, usable: bool
) -> None:
    """Of PATH; another one is not."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if version is not None:
        program(tmp_path, "node", version)
    if npm:
        program(tmp_path, "npm", "exit 0")
    assert node_of_path() == (tmp_path / "node" if usable else None)


def test_a_node_is_there() -> None:
    """For Azurite, on this machine."""
    assert os.access(find_node(), os.X_OK)


def test_a_step_says_what_it_installs_and_how_far_it_is(tmp_path: Path) -> None:
    """It ends once the tool ends; the tool goes on once a report was there."""
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "file").write_bytes(bytes(2**20))
    os.mkfifo(tmp_path / "pipe")
    lines = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            threading.Thread(target=(tmp_path / "pipe").write_text, args=("go\n",)).start()

    command = ("sh", "-c", f"read line < {tmp_path}/pipe")
    run(step(*command, folder=tmp_path / "part"), tmp_path / "log", say, every=0.05)
    assert lines[0] == "A part: about 7 MB"
    assert re.fullmatch(r"  A part: \d+ of about 7 MB after \d+ s", lines[1])
    assert megabytes(tmp_path / "part") == 1


def test_a_step_that_fails_shows_what_its_tool_printed(tmp_path: Path) -> None:
    """And where all of it is."""
    failing = step("sh", "-c", "echo no network >&2; exit 3", folder=tmp_path)
    with pytest.raises(InstallError, match=r"no network\nA part could not be installed: see .*log"):
        run(failing, tmp_path / "log", lambda _: None)


def test_packages_lose_what_is_not_run(tmp_path: Path) -> None:
    """Source maps, types, documents, builds for browsers; no code for Node and no licence."""
    for build in ("dist/browser", "dist/commonjs"):
        (tmp_path / "@azure" / "a" / build).mkdir(parents=True)
    for name in ("a.js", "a.js.map", "a.d.ts", "README.md", "LICENSE", "package.json"):
        (tmp_path / name).write_text("")
    remove_what_is_not_run(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("@azure", "LICENSE", "a.js", "package.json")
    ]
    assert [each.name for each in (tmp_path / "@azure" / "a" / "dist").iterdir()] == ["commonjs"]


def locked(file: str) -> dict[str, str]:
    """The versions of a lock file, by name."""
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ]+)", (ROOT / file).read_text()))


def test_the_demo_needs_no_tools_for_development() -> None:
    """They come with the targets that need them, in the same versions of all else."""
    app, demo, all_ = map(
        locked, ("requirements.txt", "infra/local/requirements.txt", "tests/requirements.txt")
    )
    assert not DEVELOPMENT & set(demo)
    assert set(all_) >= DEVELOPMENT
    assert app.items() <= demo.items() <= all_.items()
    assert not [name for name in all_ if "nodejs" in name]


def test_what_is_as_new_as_its_lock_is_not_installed_again(tmp_path: Path) -> None:
    """The first rule of the Makefile installs Azurite, too; the second finds it there."""
    stamp, lock = tmp_path / "stamp", tmp_path / "lock"
    lock.touch()
    assert not is_current(stamp, lock)
    stamp.touch()
    os.utime(lock, (1, 1))
    assert is_current(stamp, lock)
    os.utime(stamp, (0, 0))
    assert not is_current(stamp, lock)
