"""``make infra``: what ``azd up`` makes, who may do what, and the app's settings, as tables.

It fails, with the reasons, where a template breaks a rule or names something that is not there.
"""

import sys

from rich.console import Console
from rich.table import Table

from infra.offline import references, rules
from infra.offline.bicep import Resource, Template, read_templates, shown
from infra.offline.roles import BUILT_IN, role_assignments
from infra.offline.settings import app_settings

_ROLES = "Microsoft.Authorization/roleAssignments"


def main() -> int:
    """Print the three tables and what is wrong; the exit code."""
    templates = read_templates()
    console = Console()
    console.print(_resources(templates))
    console.print(_roles(templates))
    console.print(_settings(templates))
    faults = [*references.faults(templates), *rules.faults(templates)]
    for fault in faults:
        console.print(fault, style="red", markup=False)
    return 1 if faults else 0


def _resources(templates: dict[str, Template]) -> Table:
    table = _table("Resources", "type", "name", "where", "when")
    for template in templates.values():
        for resource in template.resources:
            if not resource.existing and resource.type != _ROLES:
                optional = resource.conditional or _optional_file(resource, templates)
                many = " (several)" if resource.repeated else ""
                table.add_row(
                    f"{resource.type}@{resource.version}",
                    shown(resource.body.get("name")) + many,
                    resource.file,
                    "optional" if optional else "always",
                )
    return table


def _roles(templates: dict[str, Template]) -> Table:
    table = _table("Roles", "who", "may", "on", "why")
    for each in role_assignments(templates):
        scope = each.scope.symbol if each.scope else "everything"
        role = BUILT_IN.get(each.role_id, each.role_id)
        table.add_row(each.who, role, scope, each.resource.why)
    return table


def _settings(templates: dict[str, Template]) -> Table:
    table = _table("App settings", "name", "value")
    for name, value in sorted(app_settings(templates).items(), key=lambda each: each[0].lower()):
        table.add_row(name, value)
    return table


def _optional_file(resource: Resource, templates: dict[str, Template]) -> bool:
    """Whether every use of the resource's file has a condition."""
    uses = [
        module.conditional
        for template in templates.values()
        for module in template.modules
        if module.target == resource.file
    ]
    return bool(uses) and all(uses)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_lines=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


if __name__ == "__main__":
    sys.exit(main())
