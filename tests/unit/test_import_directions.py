"""Imports run downwards: triggers → service → workflow and activities → outlook and storage."""

import ast
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

MAX_MODULES = 16
MAX_LINES = 250
MAX_FUNCTION_LINES = 40

# What each part may import beside itself. Every module belongs to the longest name that fits.
BASE = frozenset(
    {"shared.settings", "shared.errors", "shared.secret", "shared.validation"}
    | {"shared.path_segments", "shared.one_line"}
)
LOWER = BASE | {"shared.outlook", "shared.storage"}
WINGS = {"shared.transfer.workflow", "shared.transfer.activities"}
LAYERS: dict[str, frozenset[str]] = {
    "shared": BASE,
    "shared.outlook": BASE,
    "shared.storage": BASE,
    "shared.transfer": LOWER,
    "shared.transfer.activities": LOWER | {"shared.transfer"},
    "shared.transfer.workflow": LOWER | {"shared.transfer"},
    "shared.transfer.functions": LOWER | {"shared.transfer"} | WINGS,
    "shared.transfer.service": LOWER | {"shared.transfer"} | WINGS,
    "shared.triggers": LOWER | {"shared.transfer", "shared.transfer.service"},
    "shared.app": LOWER
    | {"shared.transfer", "shared.transfer.functions", "shared.transfer.service"}
    | WINGS
    | {"shared.triggers"},
}
# The orchestrator is replayed: nothing in it may reach a service, or differ between two runs.
WORKFLOW = "shared.transfer.workflow"
IO = (
    *("requests", "urllib3", "urllib.request", "http.client", "socket"),
    *("azure.storage", "azure.identity", "azure.eventgrid"),
    *("shared.outlook.graph_http", "shared.outlook.graph_client"),
    *("shared.storage.accounts", "shared.storage.presigned_urls"),
    *("shared.storage.session_store", "shared.storage.source_container"),
)
NOT_REPEATABLE = ("time", "random", "uuid", "secrets", "threading", "asyncio", "os")
CLOCKS = frozenset({"now", "utcnow", "today"})

type Imports = Mapping[str, frozenset[str]]


def modules(folder: Path) -> dict[str, Path]:
    """The modules below a folder, by dotted name; a package has the name of its folder."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: Iterable[str] = ()) -> frozenset[str]:
    """The modules that a module imports, wherever in its text it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            submodules = {f"{module}.{alias.name}" for alias in node.names} & set(known)
            names |= submodules or {module}
    return frozenset(names)


def layer(name: str) -> str:
    """The part that a module belongs to."""
    return max((each for each in LAYERS if within(name, each)), key=len)


def within(name: str, package: str) -> bool:
    """Whether the module is this one, or inside of it."""
    return name == package or name.startswith(f"{package}.")


def wrong_directions(imports: Imports) -> list[str]:
    """Imports that do not run downwards."""
    found = []
    for module, names in imports.items():
        own = layer(module)
        for name in names:
            if not any(within(name, root) for root in ("shared", "infra", "tests")):
                continue
            target = layer(name) if within(name, "shared") else name
            allowed = LAYERS[own] | ({own} - {"shared"})
            if (name if target == "shared" else target) not in allowed:
                found.append(f"{module} imports {name}")
    return found


def reached(module: str, imports: Imports) -> frozenset[str]:
    """All that a module imports, itself or by what it imports."""
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= imports.get(name, frozenset()) - seen
    return frozenset(seen)


def services_reached(imports: Imports) -> list[str]:
    """Modules of the workflow that reach a service, if only by what they import."""
    return [
        f"{module} reaches {name}"
        for module in imports
        if within(module, WORKFLOW)
        for name in sorted(reached(module, imports))
        if any(within(name, package) for package in IO)
    ]


def not_repeatable(module: str, path: Path) -> list[str]:
    """What would differ when the orchestrator is replayed."""
    names = imported(path)
    found = [f"{module} imports {each}" for each in NOT_REPEATABLE if each in names]
    nodes = ast.walk(ast.parse(path.read_text()))
    return found + [
        f"{module} reads a clock in line {node.lineno}"
        for node in nodes
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS
    ]


def cycles(imports: Imports) -> list[str]:
    """Modules that import themselves by way of others."""
    return [
        module
        for module, names in imports.items()
        if any(module in reached(name, imports) for name in names if name in imports)
    ]


def full_folders(folder: Path) -> list[str]:
    """Folders with too many modules."""
    return [
        f"{each} has {count} modules"
        for each in (folder, *folder.rglob("*/"))
        if (count := len([p for p in each.glob("*.py") if p.name != "__init__.py"])) > MAX_MODULES
    ]


def long_modules(paths: Iterable[Path]) -> list[str]:
    """Modules with too many lines."""
    lengths = {path: len(path.read_text().splitlines()) for path in paths}
    return [f"{path} has {lines} lines" for path, lines in lengths.items() if lines > MAX_LINES]


def long_functions(paths: Iterable[Path]) -> list[str]:
    """Functions with too many lines."""
    return [
        f"{path}: {name} has {lines} lines"
        for path in paths
        for name, lines in functions(path)
        if lines > MAX_FUNCTION_LINES
    ]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The functions of a module, with their lengths in lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


SHARED = modules(Path("shared"))
IMPORTS = {name: imported(path, SHARED) for name, path in SHARED.items()}


def test_imports_run_downwards() -> None:
    """Workflow and activities never import each other; nothing imports what is above it."""
    assert wrong_directions(IMPORTS) == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("shared.transfer.activities.x", "shared.transfer.workflow.stages"),
        ("shared.transfer.workflow.x", "shared.transfer.activities.results"),
        ("shared.transfer.workflow.x", "shared.transfer.service.start"),
        ("shared.transfer.service.x", "shared.triggers.blob"),
        ("shared.transfer.payloads", "shared.transfer.service.start"),
        ("shared.transfer.payloads", "shared.transfer.workflow.stages"),
        ("shared.transfer.service.x", "shared.transfer.functions"),
        ("shared.triggers.http.x", "shared.transfer.activities.results"),
        ("shared.outlook.x", "shared.storage.session_store"),
        ("shared.storage.x", "shared.transfer.payloads"),
        ("shared.settings", "shared.app"),
        ("shared.triggers.blob", "shared.app"),
        ("shared.app", "infra.local"),
        ("shared.secret", "tests.harness"),
    ],
)
def test_a_wrong_direction_is_found(module: str, name: str) -> None:
    """Every step up, and every step between the wings."""
    assert wrong_directions({module: frozenset({name})}) == [f"{module} imports {name}"]


def test_the_workflow_reaches_no_service() -> None:
    """Neither itself nor by what it imports."""
    assert services_reached(IMPORTS) == []


def test_a_service_that_is_reached_is_found() -> None:
    """Directly, and by another module."""
    imports = {
        f"{WORKFLOW}.a": frozenset({"requests"}),
        f"{WORKFLOW}.b": frozenset({"shared.transfer.payloads"}),
        "shared.transfer.payloads": frozenset({"azure.storage.blob"}),
    }
    assert services_reached(imports) == [
        f"{WORKFLOW}.a reaches requests",
        f"{WORKFLOW}.b reaches azure.storage.blob",
    ]


@pytest.mark.parametrize(
    "module", [name for name in SHARED if within(name, WORKFLOW)], ids=lambda name: name
)
def test_the_workflow_repeats_exactly(module: str) -> None:
    """No clock, no chance, no thread, no environment."""
    assert not_repeatable(module, SHARED[module]) == []


@pytest.mark.parametrize(
    "text",
    [
        *(f"import {name}" for name in NOT_REPEATABLE),
        "from time import monotonic",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime\nx = datetime.datetime.utcnow()",
        "def f(ctx):\n    import os",
    ],
)
def test_what_does_not_repeat_is_found(tmp_path: Path, text: str) -> None:
    """Wherever in the module it stands."""
    module = tmp_path / "x.py"
    module.write_text(text)
    assert len(not_repeatable("x", module)) == 1


def test_nothing_imports_itself() -> None:
    """Not even by way of others."""
    assert cycles(IMPORTS) == []


def test_a_cycle_is_found() -> None:
    """With all modules that are part of it."""
    imports = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"b"})}
    assert cycles(imports) == ["b", "c"]


def test_no_folder_is_too_full() -> None:
    """16 modules at most."""
    assert full_folders(Path("shared")) == []


def test_no_module_is_too_long() -> None:
    """250 lines at most."""
    assert long_modules(SHARED.values()) == []


def test_no_function_is_too_long() -> None:
    """40 lines at most."""
    assert long_functions(SHARED.values()) == []


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    """One more than allowed of each."""
    for number in range(MAX_MODULES + 1):
        (tmp_path / f"m{number}.py").write_text("")
    long = tmp_path / "m0.py"
    long.write_text("def f():\n" + "    pass\n" * MAX_FUNCTION_LINES + "\n" * MAX_LINES)
    assert full_folders(tmp_path) == [f"{tmp_path} has 17 modules"]
    assert long_modules([long]) == [f"{long} has 291 lines"]
    assert long_functions([long]) == [f"{long}: f has 41 lines"]


def test_submodules_and_relative_imports_are_seen(tmp_path: Path) -> None:
    """``from package import module`` imports the module."""
    module = tmp_path / "x.py"
    module.write_text(
        textwrap.dedent("""
            from shared.triggers import blob
            import infra.local
            from shared.errors import Permanent
        """)
    )
    found = imported(module, SHARED)
    assert found == {"shared.triggers.blob", "infra.local", "shared.errors"}
    module.write_text("from . import y")
    with pytest.raises(AssertionError, match="relatively"):
        imported(module)


def test_the_stand_ins_do_not_know_the_app() -> None:
    """The emulator and the Functions host would serve any client and any app."""
    for folder in ("outlook", "functions_host"):
        for module in Path("infra/local", folder).glob("*.py"):
            assert not [name for name in imported(module) if within(name, "shared")], module


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
