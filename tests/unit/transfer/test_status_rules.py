"""Retrying is decided in one module: no other one compares statuses, or makes up responses."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# The policy itself, what a 2xx is, and the typed errors of storage.
EXEMPT = {
    Path("shared/transfer/retry_policy.py"),
    Path("shared/transfer/retry_table.py"),
    Path("shared/outlook/graph_response.py"),
    Path("shared/storage/storage_errors.py"),
}
MODULES = sorted(set(Path("shared").rglob("*.py")) - EXEMPT)


def _is_status(node: ast.expr) -> bool:
    attributes = [each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)]
    return not {"status", "status_code"}.isdisjoint(attributes)


def _is_number(node: ast.expr) -> bool:
    numbers = [each for each in ast.walk(node) if isinstance(each, ast.Constant)]
    is_constant = isinstance(node, ast.Name) and node.id.isupper()
    return is_constant or any(isinstance(each.value, int) for each in numbers)


def status_rules(tree: ast.AST) -> Iterator[str]:
    """Comparisons of a status with numbers, and responses with a status that nobody sent."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(_is_status, sides)) and any(map(_is_number, sides)):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "GraphResponse":
            keywords = {each.arg for each in node.keywords}
            yield from [ast.unparse(node)] if node.args or "status" in keywords else []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_has_status_rules_of_its_own(module: Path) -> None:
    """A new rule is a new row of the table."""
    assert list(status_rules(ast.parse(module.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "if answer.status == 401: pass",
        "x = response.status in {404, 410}",
        "x = error.status_code != 400",
        "x = response.status in _GONE",
        "x = (response.status or 0) >= 500",
        "x = GraphResponse(status=502, message='no end')",
        "x = GraphResponse(412)",
    ],
)
def test_the_rule_can_be_broken(code: str) -> None:
    """The check sees what it must not miss."""
    assert list(status_rules(ast.parse(code)))
