"""Every resource against Azure's description of its type, which ``make schemas`` keeps."""

from pathlib import Path

import pytest

from infra.offline.bicep import Resource, Template, read_templates
from infra.offline.schemas import Check, ResourceSchema
from infra.offline.snapshot import read_snapshot

SCHEMAS = read_snapshot()
RESOURCES = [
    pytest.param(template, resource, id=f"{template.file}:{resource.symbol}")
    for template in read_templates().values()
    for resource in template.resources
]
# Types that the tool of `make schemas` knows nothing of: these are checked by names only.
NOT_KNOWN = {
    "Microsoft.DurableTask/schedulers",
    "Microsoft.DurableTask/schedulers/taskHubs",
    "Microsoft.Graph/appRoleAssignedTo",
    "Microsoft.Graph/servicePrincipals",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.Insights/metricAlerts",
    "Microsoft.Insights/scheduledQueryRules",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
}
TOPIC = """
resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: 'a-topic'
  location: 'westeurope'
  %s
}
"""


def faults(folder: Path, bicep: str) -> list[str]:
    (folder / "one.bicep").write_text(bicep)
    template = read_templates(folder)["one.bicep"]
    (resource,) = template.resources
    schema = SCHEMAS[resource.type]
    assert schema is not None
    return list(Check(template, schema).faults(resource))


@pytest.mark.parametrize(("template", "resource"), RESOURCES)
def test_a_resource_has_what_its_type_has(template: Template, resource: Resource) -> None:
    """Known properties, none that is read-only, none missing, values of the right kind."""
    schema: ResourceSchema | None = SCHEMAS[resource.type]
    if resource.type in NOT_KNOWN:
        assert schema is None
    else:
        assert schema is not None
        assert list(Check(template, schema).faults(resource)) == []


def test_the_snapshot_holds_no_type_that_is_not_used() -> None:
    """It is made anew by ``make schemas``."""
    used = {
        resource.type for template in read_templates().values() for resource in template.resources
    }
    assert set(SCHEMAS) == used


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("properties: { inputSchem: 'x' }", "properties.inputSchem: there is no such property"),
        ("properties: { endpoint: 'x' }", "properties.endpoint: there is no such property"),
        ("properties: { disableLocalAuth: 'yes' }", "disableLocalAuth: yes should be bool"),
        ("properties: [ 'x' ]", "properties: should be an object"),
        ("identity: { kind: 'x' }", "identity.kind: there is no such property"),
    ],
)
def test_what_is_wrong_turns_the_check_red(tmp_path: Path, line: str, fault: str) -> None:
    """Misspelt, read-only, of another kind."""
    (found,) = faults(tmp_path, TOPIC % line)
    assert fault in found


def test_another_version_turns_the_check_red(tmp_path: Path) -> None:
    """The snapshot says nothing of it."""
    (found,) = faults(tmp_path, TOPIC.replace("2025-02-15", "2020-06-01") % "tags: {}")
    assert "version 2020-06-01" in found


def test_what_is_missing_turns_the_check_red(tmp_path: Path) -> None:
    """A location is required."""
    (found,) = faults(tmp_path, TOPIC.replace("location: 'westeurope'", "") % "tags: {}")
    assert found.endswith(".location: missing")


def test_a_value_that_is_not_of_the_list_turns_the_check_red(tmp_path: Path) -> None:
    """In the branch of a condition, too."""
    container = "Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01"
    (found,) = faults(
        tmp_path,
        f"""
        param open bool
        resource c '{container}' = {{
          name: 'an-account/default/files'
          properties: {{ publicAccess: open == true ? 'Everybody' : 'None' }}
        }}
        """,
    )
    assert found.endswith("publicAccess: Everybody should be Container | Blob | None")


def test_the_wrong_kind_of_a_destination_turns_the_check_red(tmp_path: Path) -> None:
    """Properties of one kind of endpoint are none of another's, through a variable too."""
    found = faults(
        tmp_path,
        """
        var function = { endpointType: 'AzureFunction', properties: { endpointUrl: 'x' } }
        resource s 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = {
          name: 'a-topic/orders'
          properties: { destination: function }
        }
        """,
    )
    assert found == [
        "one.bicep: s.properties.destination.properties.endpointUrl: "
        "there is no such property to be set"
    ]
