"""The app's identity may do what it needs, where it needs it."""

import json
import re

from infra.offline.bicep import INFRA, Template
from infra.offline.roles import BUILT_IN, role_assignments

# Who may do what on what: anything more has to be written here, too.
EXPECTED = {
    ("identity.outputs.principalId", "Storage Blob Data Contributor", "source"),
    ("identity.outputs.principalId", "Storage Blob Delegator", "sourceAccount"),
    ("identity.outputs.principalId", "Storage Queue Data Contributor", "sourceAccount"),
    ("identity.outputs.principalId", "Storage Blob Data Owner", "hostAccount"),
    ("identity.outputs.principalId", "Storage Queue Data Contributor", "hostAccount"),
    ("identity.outputs.principalId", "Storage Table Data Contributor", "hostAccount"),
    ("identity.outputs.principalId", "Monitoring Metrics Publisher", "component"),
    ("identity.outputs.principalId", "EventGrid Data Sender", "topic"),
    ("identity.outputs.principalId", "Durable Task Data Contributor", "taskHub"),
    (
        "present.identity.principalId, topic.identity.principalId",
        "Storage Blob Data Contributor",
        "deadLetters",
    ),
    ("dropperPrincipalId", "Storage Blob Data Contributor", "source"),
}
# Application permissions of Microsoft Graph, with the same ids in every tenant.
PERMISSIONS = {
    "Mail.ReadWrite": "e2a3a72e-5f79-4c64-b1b1-878b674786c9",
    "Calendars.ReadWrite": "ef54d2bf-783f-4e0f-bca1-3210c0442d99",
}


def test_nobody_may_more(templates: dict[str, Template]) -> None:
    """Every assignment is expected, and on one resource: none on the group or the subscription."""
    assigned = [
        (each.who, BUILT_IN[each.role_id], each.scope.symbol if each.scope else "everything")
        for each in role_assignments(templates)
    ]
    assert set(assigned) == EXPECTED
    assert len(assigned) == len(EXPECTED)


def test_the_ledger_may_always_be_written(templates: dict[str, Template]) -> None:
    """Wherever the task hub is: the ledger is in the host account's tables."""
    tables = [each for each in role_assignments(templates) if "Table" in BUILT_IN[each.role_id]]
    assert [each.resource.conditional for each in tables] == [False]


def test_roles_are_what_they_are_called(templates: dict[str, Template]) -> None:
    """The name of the variable is the role's name, and the id is that role's."""
    for each in role_assignments(templates):
        words = re.findall("[A-Z][a-z]+", BUILT_IN[each.role_id])
        assert each.role_symbol.lower() == "".join(words).lower(), each.resource.file


def test_every_assignment_says_why(templates: dict[str, Template]) -> None:
    """In a comment above it, which ``make infra`` prints."""
    for each in role_assignments(templates):
        assert each.resource.why, f"{each.resource.file}: {each.resource.symbol}"


def test_mailboxes_are_opened_by_hand_alone(templates: dict[str, Template]) -> None:
    """The way that opens all of them is a template that no other uses."""
    used = {module.target for template in templates.values() for module in template.modules}
    assert set(templates) - used == {"main.bicep", "subscriptions.bicep", "app/graph-role.bicep"}
    assert templates["app/graph-role.bicep"].modules == ()


def test_the_permissions_of_graph_have_their_ids(templates: dict[str, Template]) -> None:
    """In the template and in the script that shows them; the extension has its address."""
    graph = templates["app/graph-role.bicep"]
    assert graph.variables["appRoleIds"] == PERMISSIONS
    script = (INFRA / "scripts" / "show-permissions.ps1").read_text()
    shown = {name: id_ for id_, name in re.findall("'([0-9a-f-]{36})' = '([^']+)'", script)}
    assert shown == PERMISSIONS
    extensions = json.loads((INFRA / "bicepconfig.json").read_text())["extensions"]
    assert set(re.findall(r"(?m)^extension (\w+)$", graph.text)) == set(extensions)
