"""Runs the app on this machine: ``python -m infra.local start | drop | event | demo``."""

import sys

# A part of the stack does not start, as for LocalError.
_NOT_INSTALLED = 4

try:
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
