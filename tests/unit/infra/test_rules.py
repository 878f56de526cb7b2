"""What Azure would refuse is found without Azure."""

from pathlib import Path

import pytest

from infra.offline import rules
from infra.offline.bicep import Template, read_templates

TOPICS = "Microsoft.EventGrid/topics"
CHILD = f"""
param events bool = true
param topicName string = ''
resource topic '{TOPICS}@2025-02-15' existing = if (!empty(topicName)) {{
  name: %s
}}
resource subscription '{TOPICS}/eventSubscriptions@2025-02-15' = if (!empty(topicName)) {{
  parent: topic
  name: 'orders'
}}
"""


def found(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / f"{name}.bicep").write_text(text)
    return list(rules.faults(read_templates(folder)))


def test_the_templates_break_no_rule(templates: dict[str, Template]) -> None:
    """None of those below."""
    assert list(rules.faults(templates)) == []


@pytest.mark.parametrize(
    "name",
    [
        "topicName",
        "'${topicName}'",
        "!empty(topicName) ? topicName : topicName",
        "events ? 'some' : topicName",
    ],
)
def test_a_conditional_name_that_can_be_empty_is_found(tmp_path: Path, name: str) -> None:
    """The parent's, through a text and a condition, too: its child would be called ``/orders``."""
    assert found(tmp_path, one=CHILD % name) == [
        f"one.bicep: {symbol}: its name is checked even when its condition is false, "
        "and that of topic can be empty"
        for symbol in ("topic", "subscription")
    ]


@pytest.mark.parametrize(
    "name",
    [
        "'a-topic'",
        "'evgt-${topicName}'",
        "empty(topicName) ? 'none' : topicName",
        "!empty(topicName) ? topicName : 'none'",
    ],
)
def test_a_conditional_name_with_a_substitute_is_none(tmp_path: Path, name: str) -> None:
    """It is something in either case."""
    assert found(tmp_path, one=CHILD % name) == []


EXTENSION = f"""
param topicName string = ''
resource topic '{TOPICS}@2025-02-15' existing = if (!empty(topicName)) {{
  name: %s
}}
resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (!empty(topicName)) {{
  scope: topic
  name: 'keep'
}}
"""


def test_the_name_of_a_scope_is_part_of_the_name(tmp_path: Path) -> None:
    """As a parent's is: what is put on a resource is called after it."""
    assert found(tmp_path, one=EXTENSION % "empty(topicName) ? 'none' : topicName") == []
    _, fault = found(tmp_path, one=EXTENSION % "topicName")
    assert fault == (
        "one.bicep: lock: its name is checked even when its condition is false, "
        "and that of topic can be empty"
    )


def test_a_substitute_for_a_resource_is_never_read(tmp_path: Path) -> None:
    """A template with symbolic names reads each existing resource whose condition is not false."""
    name = "empty(topicName) ? 'none' : topicName"
    unconditional = EXTENSION.replace("existing = if (!empty(topicName))", "existing =") % name
    assert found(tmp_path, one=unconditional) == [
        "one.bicep: topic: it may be absent, and is read all the same; give it a condition"
    ]


ENDPOINTS = """
%s
resource endpoint 'Microsoft.Network/privateEndpoints@2024-07-01' = [for name in [ 'a', 'b' ]: {
  name: name
  location: 'westeurope'
}]
"""


def test_private_endpoints_are_made_one_by_one(tmp_path: Path) -> None:
    """At once they fail, since each changes the same network."""
    (fault,) = found(tmp_path, one=ENDPOINTS % "")
    assert fault == "one.bicep: endpoint: made at once; @batchSize(1) is missing"
    assert found(tmp_path, one=ENDPOINTS % "@batchSize(1)") == []


def test_a_part_that_is_named_by_its_place_is_found(tmp_path: Path) -> None:
    """A subnet, say: the order of a list is Azure's."""
    network = """
    resource network 'Microsoft.Network/virtualNetworks@2024-07-01' existing = { name: 'a' }
    output subnetId string = network.properties.subnets[1].id
    """
    assert found(tmp_path, one=network) == [
        "one.bicep: network.properties.subnets[1].id is named by its place; use its id"
    ]


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("output url string = 'https://${name}.azurewebsites.net'", ".azurewebsites.net"),
        ("var zone = 'privatelink.blob.core.windows.net'", "privatelink.blob.core.windows.net"),
        ("var issuer = 'https://login.microsoftonline.com/'", "login.microsoftonline.com"),
        ("var site = '${name}.azurewebsites.us'", ".azurewebsites.us"),
    ],
)
def test_a_host_name_of_one_cloud_is_found(tmp_path: Path, line: str, host: str) -> None:
    """With or without a part that is put in."""
    (fault,) = found(tmp_path, one=f"param name string\n{line}\n")
    assert fault == f"one.bicep: {host} is of one cloud; use environment() or the resource"


def test_host_names_of_the_cloud_are_none(tmp_path: Path) -> None:
    """Nor are types, comments and the properties of a resource itself."""
    text = """
    // Not storage.blob.core.windows.net itself.
    resource app 'Microsoft.Web/sites@2024-11-01' existing = { name: 'an-app' }
    var zone = 'privatelink.blob.${environment().suffixes.storage}'
    output url string = 'https://${app.properties.defaultHostName}'
    """
    assert found(tmp_path, one=text) == []
