"""What ``drop`` uploads: files, folders, patterns; and metadata as it is typed."""

import os
from pathlib import Path

import pytest

from infra.local.errors import UsageError
from infra.local.selection import chosen_files, chosen_metadata


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files at three depths, two of them hidden; the current one."""
    for name in ("a.txt", "scans/b.pdf", "scans/2026/c.pdf", "scans/.hidden", "scans/.git/d"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(name)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["a.txt"], ["a.txt"]),
        (["scans"], ["scans/2026/c.pdf", "scans/b.pdf"]),
        (["scans/"], ["scans/2026/c.pdf", "scans/b.pdf"]),
        (["scans/*.pdf"], ["b.pdf"]),
        (["**/*.pdf"], ["c.pdf", "b.pdf"]),
        (["a.txt", "./a.txt", "scans/../a.txt"], ["a.txt"]),
        (["scans/b.pdf", "scans"], ["b.pdf", "scans/2026/c.pdf"]),
    ],
)
def test_files_folders_and_patterns(folder: Path, arguments: list[str], names: list[str]) -> None:
    """In the order of the arguments, each file once, without hidden ones."""
    assert [each.name for each in chosen_files(arguments)] == names


def test_files_of_one_name_stay_apart(folder: Path) -> None:
    """By the folders above them."""
    (folder / "scans" / "a.txt").write_text("another")
    first, second = chosen_files(["a.txt", "scans/a.txt"])
    assert first.name.endswith(f"{folder.name}/a.txt")
    assert second.name.endswith(f"{folder.name}/scans/a.txt")


def test_a_name_that_looks_like_a_pattern_is_a_name(folder: Path) -> None:
    """A file that exists comes first."""
    (folder / "a[1].txt").write_text("")
    assert [each.name for each in chosen_files(["a[1].txt"])] == ["a[1].txt"]


@pytest.mark.parametrize("argument", ["none", "*.none", "empty", "scans/none/*", ""])
def test_what_names_no_file_is_refused(folder: Path, argument: str) -> None:
    """By name, before anything is uploaded."""
    with pytest.raises(UsageError, match=r"cannot be"):
        chosen_files(["a.txt", argument or "nothing/at/all"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(folder: Path) -> None:
    """By name."""
    (folder / "a.txt").chmod(0)
    with pytest.raises(UsageError, match=r"a\.txt cannot be read"):
        chosen_files(["a.txt"])


def test_metadata_are_pairs() -> None:
    """Values keep what they are, `=` included; beyond ASCII they are percent-encoded."""
    given = ["project=7=b", "_owner=Zoë %20", "empty="]
    assert chosen_metadata(given) == {"project": "7=b", "_owner": "Zo%C3%AB %20", "empty": ""}


@pytest.mark.parametrize("pairs", [["a"], ["=b"], ["a-b=c"], ["1a=b"], ["a=1", "A=2"]])
def test_malformed_metadata_are_refused(pairs: list[str]) -> None:
    """A pair without a key that storage takes, or a key twice."""
    with pytest.raises(UsageError, match="metadata"):
        chosen_metadata(pairs)
