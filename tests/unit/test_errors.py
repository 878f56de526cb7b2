"""The error tree of ``shared/errors.py`` names every error of the app, and where it lives."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from shared import errors

_LINE = re.compile(r"^((?:[│ ]   )*(?:[├└]── )?)(\w+) {2,}(?:(shared/[\w/]+)|.)")


def documented() -> dict[str, tuple[str | None, str | None]]:
    """Each error of the docstring's tree: its parent there, and its module if it is another."""
    found: dict[str, tuple[str | None, str | None]] = {}
    parents: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        parents[depth] = match[2]
        found[match[2]] = (parents[depth - 1] if depth else None, match[3])
    return found


def defined() -> dict[str, type[Exception]]:
    """Every exception class that a module of the app defines."""
    found: dict[str, type[Exception]] = {}
    for path in Path("shared").rglob("*.py"):
        module = importlib.import_module(".".join(path.with_suffix("").parts))
        for name, value in vars(module).items():
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and issubclass(value, Exception):
                found[name] = value
    return found


def test_the_tree_is_complete() -> None:
    """No error is missing, none is only documented."""
    assert set(documented()) == set(defined())


@pytest.mark.parametrize("name", sorted(defined()))
def test_the_tree_is_true(name: str) -> None:
    """Each error has the documented parent, and lives in the documented module."""
    parent, module = documented()[name]
    kind = defined()[name]
    assert kind.__base__ is not None
    assert kind.__base__.__name__ == (parent or "Exception")
    assert kind.__module__.replace(".", "/") == (module or "shared/errors")


SHARED_CODES = {
    "ContentUncertain": "UnsupportedBlob",
    "DocumentConflict": "StorageUnavailable",
    "FolderMarker": "UnsupportedBlob",
    "GraphFailing": "GraphRefused",
    "InvalidBlobName": "UnsupportedBlob",
    "LedgerUnreadable": "StorageUnavailable",
    "RecordNotWritable": "UnsupportedBlob",
    "StorageDenied": "StorageUnavailable",
    "UnreadableBlob": "UnsupportedBlob",
    "StorageNotFound": "StorageUnavailable",
}


@pytest.mark.parametrize("name", sorted(defined()))
def test_a_code_is_the_name_or_an_older_code(name: str) -> None:
    """Users and records know the codes: a new class for an old situation has the old code."""
    kind = defined()[name]
    if issubclass(kind, errors.TransferError):
        assert kind.code == SHARED_CODES.get(name, name)


@pytest.mark.parametrize("path", sorted(Path("shared").rglob("*.py")), ids=str)
def test_no_error_is_recognised_by_its_code(path: Path) -> None:
    """A class, or a field that says so, decides; codes are for users."""
    compared = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(isinstance(each, ast.Attribute) and each.attr == "code" for each in _sides(node))
        and any(isinstance(each, ast.Constant | ast.Attribute) for each in node.comparators)
    ]
    assert compared == []


def _sides(node: ast.Compare) -> list[ast.expr]:
    return [node.left, *node.comparators]
