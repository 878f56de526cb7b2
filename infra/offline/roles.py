"""Who may do what where, as the templates assign it."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.offline.bicep import Resource, Template, Value, called, given, shown

# Azure's own ids of its built-in roles.
BUILT_IN = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "db58b8e5-c6ad-4a2a-8342-4190687cbf4a": "Storage Blob Delegator",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "d5a91429-5739-47e2-a06b-3470a27159e7": "EventGrid Data Sender",
    "0ad04412-c4d5-4796-b79c-f76d14c8d402": "Durable Task Data Contributor",
}
_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """``scope`` is the resource it is good for, None for the whole group or subscription.

    ``role_symbol`` is the variable that holds the role's id.
    """

    resource: Resource
    who: str
    role_symbol: str
    role_id: str
    scope: Resource | None


def role_assignments(templates: dict[str, Template]) -> Iterator[RoleAssignment]:
    """Every assignment, in the order of the files."""
    for template in templates.values():
        resources = {resource.symbol: resource for resource in template.resources}
        for resource in template.resources:
            if resource.type == _ASSIGNMENT:
                symbol = _role_symbol(resource)
                yield RoleAssignment(
                    resource,
                    who=_who(resource.body["properties"]["principalId"], template, templates),
                    role_symbol=symbol,
                    role_id=str(template.variables.get(symbol)),
                    scope=resources.get(str(resource.body.get("scope"))),
                )


def _who(principal: Value, template: Template, templates: dict[str, Template]) -> str:
    callers = given(principal, template, templates) if isinstance(principal, str) else ()
    given_values = {shown(each) for value, caller in callers for each in caller.alternatives(value)}
    return ", ".join(sorted(given_values)) or shown(principal)


def _role_symbol(resource: Resource) -> str:
    call: tuple[str, dict[str, Value]] | None = called(
        resource.body["properties"]["roleDefinitionId"]
    )
    return str(call[1]["resource_name_1"]) if call else ""
