"""Imports between the packages of ``infra/local``: no circles, and nothing of the product."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

_ROOT = Path("infra/local")
_MODULES = sorted(path for path in _ROOT.rglob("*.py") if "node_modules" not in path.parts)


def _name(module: Path) -> str:
    return ".".join(module.with_suffix("").parts).removesuffix(".__init__")


_NAMES = {_name(module) for module in _MODULES}


def _imported(module: Path) -> set[str]:
    """The modules that a module imports by ``import x`` or ``from x import …``."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members & _NAMES or {node.module or ""}
    return names


@pytest.mark.parametrize("package", ["outlook", "functions_host"])
def test_package_does_not_know_the_product(package: str) -> None:
    """The emulator and the Functions host work with any client and any app."""
    modules = [module for module in _MODULES if module.is_relative_to(_ROOT / package)]
    assert len(modules) > 16
    for module in modules:
        assert not [name for name in _imported(module) if name.startswith("shared")], module


def test_there_is_no_import_circle() -> None:
    """Each module can be imported before those that import it."""
    graph = {_name(module): _imported(module) & _NAMES for module in _MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(_NAMES)


@pytest.mark.parametrize(
    ("package", "below"),
    [
        ("outlook.protocol", set()),
        ("outlook.faults", {"protocol"}),
        ("outlook.state", {"protocol", "rules"}),
        ("outlook.handlers", {"protocol", "state", "tenant"}),
        ("functions_host.blobs", {"app_settings", "errors", "functions", "invoker", "worker"}),
        ("functions_host.durable", {"errors", "functions", "host_json", "invoker", "worker"}),
        ("functions_host.worker", {"errors", "functions"}),
    ],
)
def test_package_imports_only_those_below(package: str, below: set[str]) -> None:
    """A package imports itself and what its purpose needs."""
    parent, _, own = package.partition(".")
    prefix = f"infra.local.{parent}."
    for module in (_ROOT / parent / own).glob("*.py"):
        ours = {name for name in _imported(module) if name.startswith("infra.")}
        assert {name.removeprefix(prefix).split(".")[0] for name in ours} <= below | {own}, module
