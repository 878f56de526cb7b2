"""host.json has no key that is not documented: the host would ignore it silently."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
KNOWN = json.loads((ROOT / "tests" / "data" / "host_json_keys.json").read_text())["keys"]


def unknown(values: dict[str, Any], known: dict[str, Any], place: str = "") -> list[str]:
    """Keys that are not known. ``*`` knows every key below it, null has none."""
    found = []
    for name, value in values.items():
        path = f"{place}{name}"
        if name not in known:
            found.append(path)
        elif known[name] != "*" and isinstance(value, dict):
            found += unknown(value, known[name] or {}, f"{path}.")
    return found


def test_every_key_is_known() -> None:
    """At every depth."""
    assert unknown(json.loads((ROOT / "host.json").read_text()), KNOWN) == []


def test_a_wrong_key_is_found() -> None:
    """Misspelt, or where it does not belong."""
    wrong = {"extensions": {"durableTask": {"hubname": "x", "tracing": {"version": "V2"}}}, "a": {}}
    assert unknown(wrong, KNOWN) == ["extensions.durableTask.hubname", "a"]
