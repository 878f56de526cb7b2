#!/bin/sh
# Prints the path of a Python 3.13: on PATH, in pyenv, or by uv. Installs nothing system-wide.
set -u

is_313() {
    "$1" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1
}

for candidate in python3.13 python3 python \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python; do
    if is_313 "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done

if command -v uv >/dev/null 2>&1; then
    uv python find 3.13 2>/dev/null && exit 0
    uv python install 3.13 >&2 && uv python find 3.13 && exit 0
fi

echo "Python 3.13 is missing. Install it (python.org, pyenv or uv), then run make again." >&2
exit 1
