"""host.json has no key that is not documented: the host would ignore it silently."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
KNOWN = json.loads((ROOT / "tests" / "data" / "host_json_keys.json").read_text())["keys"]
HOST_JSON = (ROOT / "host.json").read_text()
HOST: dict[str, Any] = json.loads(HOST_JSON)
OPERATIONS = (ROOT / "infra" / "OPERATIONS.md").read_text()


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
    assert unknown(HOST, KNOWN) == []


def test_a_wrong_key_is_found() -> None:
    """Misspelt, or where it does not belong."""
    wrong = {"extensions": {"durableTask": {"hubname": "x", "tracing": {"version": "V2"}}}, "a": {}}
    assert unknown(wrong, KNOWN) == ["extensions.durableTask.hubname", "a"]


def test_the_bundle_is_one_that_carries_a_new_enough_durable_extension() -> None:
    """On one line, which OPERATIONS.md says how to change to the Preview bundle."""
    bundle = HOST["extensionBundle"]
    assert bundle["id"] == "Microsoft.Azure.Functions.ExtensionBundle"
    assert bundle["version"] == "[4.38.0, 5.0.0)"
    (line,) = re.findall(r'(?m)^ *("extensionBundle": .*)$', HOST_JSON)
    assert json.loads("{" + line + "}") == {"extensionBundle": bundle}
    (preview,) = re.findall(r'(?m)^("extensionBundle": .*)$', OPERATIONS)
    changed = json.loads("{" + preview + "}")["extensionBundle"]
    assert changed["id"] == f"{bundle['id']}.Preview"
    assert changed["version"].endswith(", 5.0.0)")
