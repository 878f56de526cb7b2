"""The app's identity may do what it needs, where it needs it."""

import re

from infra.offline.bicep import Template
from infra.offline.roles import BUILT_IN, role_assignments

# Who may do what on what: anything more has to be written here, too.
EXPECTED = {
    ("identity.outputs.principalId", "Storage Blob Data Contributor", "source"),
    ("identity.outputs.principalId", "Storage Queue Data Contributor", "sourceAccount"),
    ("identity.outputs.principalId", "Storage Blob Data Owner", "hostAccount"),
    ("identity.outputs.principalId", "Storage Queue Data Contributor", "hostAccount"),
    ("identity.outputs.principalId", "Storage Table Data Contributor", "hostAccount"),
    ("identity.outputs.principalId", "Monitoring Metrics Publisher", "component"),
    ("identity.outputs.principalId", "EventGrid Data Sender", "topic"),
    ("identity.outputs.principalId", "Durable Task Data Contributor", "taskHub"),
    ("topic.identity.principalId", "Storage Blob Data Contributor", "deadLetters"),
    ("dropperPrincipalId", "Storage Blob Data Contributor", "source"),
}


def test_nobody_may_more(templates: dict[str, Template]) -> None:
    """Every assignment is expected, and on one resource: none on the group or the subscription."""
    assigned = [
        (each.who, BUILT_IN[each.role_id], each.scope.symbol if each.scope else "everything")
        for each in role_assignments(templates)
    ]
    assert set(assigned) == EXPECTED
    assert len(assigned) == len(EXPECTED)


def test_roles_are_what_they_are_called(templates: dict[str, Template]) -> None:
    """The name of the variable is the role's name, and the id is that role's."""
    for each in role_assignments(templates):
        words = re.findall("[A-Z][a-z]+", BUILT_IN[each.role_id])
        assert each.role_symbol.lower() == "".join(words).lower(), each.resource.file


def test_every_assignment_says_why(templates: dict[str, Template]) -> None:
    """In a comment above it, which ``make infra`` prints."""
    for each in role_assignments(templates):
        assert each.resource.why, f"{each.resource.file}: {each.resource.symbol}"
