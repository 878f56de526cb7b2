"""Runs the app on this machine: ``python -m infra.local start | drop | event | demo``."""

import sys
from contextlib import nullcontext

from infra.local.heartbeat import heartbeat

# A part of the stack does not start, as for LocalError.
_NOT_INSTALLED = 4

try:
    # The other commands print nothing but what they are for.
    patient = {"start", "demo"} & set(sys.argv[1:2])
    with heartbeat("Loading the packages") if patient else nullcontext():
        from infra.local.commands import main
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] in {"infra", "shared"}:
        raise
    print(
        f"This Python has no module {missing.name}. Run make install, "
        "and then .venv/bin/python in place of this Python.",
        file=sys.stderr,
    )
    sys.exit(_NOT_INSTALLED)

if __name__ == "__main__":
    sys.exit(main())
