"""Imports run one way: triggers → transfer → outlook, storage → settings, errors, secret."""

import ast
from pathlib import Path

import pytest

ROOMS = {
    "shared.triggers": {"shared.transfer", "shared.outlook", "shared.storage"},
    "shared.transfer": {"shared.outlook", "shared.storage"},
    "shared.outlook": set[str](),
    "shared.storage": set[str](),
}
BASE = {"shared.settings", "shared.errors", "shared.secret"}
MODULES = sorted(Path("shared").rglob("*.py"))


def imported(module: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names.add(node.module or "")
    return names


def room(name: str) -> str:
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_run_one_way(module: Path) -> None:
    """A module imports from its own room, the rooms below it, settings, errors and secret."""
    own = room(".".join(module.with_suffix("").parts))
    allowed = ROOMS.get(own, set()) | BASE | {own}
    ours = {name for name in imported(module) if name.split(".")[0] in {"shared", "infra", "tests"}}
    assert {room(name) for name in ours} <= allowed


def test_the_stand_in_does_not_know_the_product() -> None:
    """The emulator and the Functions host would serve any client and any app."""
    for folder in ("outlook", "functions_host"):
        for module in Path("infra/local", folder).glob("*.py"):
            assert not [name for name in imported(module) if name.startswith("shared")], module


def test_the_rule_can_be_broken(tmp_path: Path) -> None:
    """The check sees an import that it must not miss."""
    module = tmp_path / "x.py"
    module.write_text("from shared.triggers import blob\nimport infra.local\n")
    assert imported(module) == {"shared.triggers", "infra.local"}


def imported_tests(module: Path) -> list[str]:
    """The test modules that a module imports."""
    found = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
    return [
        name
        for name in found
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]


@pytest.mark.parametrize("module", sorted(Path("tests").rglob("*.py")), ids=str)
def test_no_test_module_is_imported(module: Path) -> None:
    """What several test modules need is in ``tests.support``."""
    assert imported_tests(module) == []


@pytest.mark.parametrize(
    "line",
    [
        "import tests.unit.test_x",
        "from tests.unit.test_x import f",
        "from tests.unit import test_x",
    ],
)
def test_an_imported_test_module_is_noticed(tmp_path: Path, line: str) -> None:
    """In each form of an import."""
    module = tmp_path / "x.py"
    module.write_text(f"{line}\n")
    assert imported_tests(module)
