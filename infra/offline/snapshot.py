"""``make schemas``: writes ``tests/data/bicep_schemas.json`` anew, for the types in use."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from infra.offline.bicep import INFRA, Resource, Template, read_templates
from infra.offline.schemas import Check, ResourceSchema, pruned, reduced

SNAPSHOT = INFRA.parent / "tests" / "data" / "bicep_schemas.json"

type Schemas = dict[str, ResourceSchema | None]


def read_snapshot() -> Schemas:
    """The schemas by resource type; None where the tool knows none."""
    schemas: Schemas = json.loads(SNAPSHOT.read_text())
    return schemas


def main(tool: str) -> None:
    """Ask the tool for each type; what the templates do not touch is left out."""
    used: defaultdict[str, list[tuple[Template, Resource]]] = defaultdict(list)
    for template in read_templates().values():
        for resource in template.resources:
            used[resource.type].append((template, resource))
    schemas: Schemas = {}
    for type_, resources in sorted(used.items()):
        schema = _asked(tool, type_)
        schemas[type_] = schema and pruned(schema, _seen(schema, resources))
        print(f"{type_}: {schema['version'] if schema else 'not known to the tool'}")
    SNAPSHOT.write_text(json.dumps(schemas, indent=1, sort_keys=True) + "\n")


def _asked(tool: str, type_: str) -> ResourceSchema | None:
    answer = subprocess.run(  # noqa: S603 (the tool that make has installed)
        [tool, "bicepschema", "get", "--resource-type", type_],
        env=os.environ | {"AZURE_MCP_COLLECT_TELEMETRY": "false"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    start = answer.find("{")
    results = json.loads(answer[start:]).get("results", {}) if start >= 0 else {}
    found = results.get("BicepSchemaResult")
    return reduced(found) if found else None


def _seen(schema: ResourceSchema, resources: list[tuple[Template, Resource]]) -> set[str]:
    seen: set[str] = set()
    for template, resource in resources:
        list(Check(template, schema, seen).faults(resource))
    return seen


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()))
