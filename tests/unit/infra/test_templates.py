"""The Bicep files read as Bicep, name what is there, and keep what they promise."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.offline import references
from infra.offline.bicep import INFRA, Resource, Template, read_templates, shown

# The app's meters, as README lists them.
METERS = {
    "blob_to_outlook.transfers",
    "blob_to_outlook.bytes",
    "blob_to_outlook.ranges",
    "blob_to_outlook.throttled",
    "blob_to_outlook.resynchronisations",
    "blob_to_outlook.near_deadline",
    "blob_to_outlook.budget_wait",
}
SECRET = re.compile(
    r"listKeys|list[A-Z]\w*\(|getSecret|AccountKey|SharedAccess|sharedKey", re.IGNORECASE
)


def resources_of(templates: dict[str, Template], type_: str) -> list[Resource]:
    return [
        resource
        for template in templates.values()
        for resource in template.resources
        if resource.type == type_ and not resource.existing
    ]


def infra_of(folder: Path, **files: str) -> dict[str, Template]:
    for name, text in files.items():
        (folder / f"{name}.bicep").write_text(text)
    return read_templates(folder)


def test_every_file_is_read(templates: dict[str, Template]) -> None:
    """No Bicep file lies where the checks do not look."""
    assert set(templates) == {path.relative_to(INFRA).as_posix() for path in INFRA.rglob("*.bicep")}


def test_every_name_leads_somewhere(templates: dict[str, Template]) -> None:
    """Names, arguments of modules and their outputs; nothing is declared for nothing."""
    assert list(references.faults(templates)) == []


def test_a_name_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    """In code and inside a text; a key of an object and a function are no names."""
    account = "'Microsoft.Storage/storageAccounts@2025-01-01' existing = { name: a }"
    found = references.faults(
        infra_of(
            tmp_path,
            wrong=f"""
            param a string
            var b = {{ c: '${{concat(d, a)}}' }}
            var e = f
            resource account {account}
            """,
        )
    )
    assert list(found) == [
        "wrong.bicep: d is not declared",
        "wrong.bicep: f is not declared",
        "wrong.bicep: account is not used",
        "wrong.bicep: b is not used",
        "wrong.bicep: e is not used",
    ]


def test_no_output_is_a_secret(templates: dict[str, Template]) -> None:
    """Outputs are kept in the deployment's history, for every reader of it."""
    for template in templates.values():
        for name, value in template.outputs.items():
            assert not SECRET.search(f"{name} {shown(value)}"), f"{template.file}: {name}"


def test_keys_are_asked_for_in_one_place(templates: dict[str, Template]) -> None:
    """The blob webhook's, which goes straight to Event Grid."""
    assert [file for file, each in templates.items() if "listKeys(" in each.text] == [
        "subscriptions.bicep"
    ]
    assert templates["subscriptions.bicep"].outputs == {}


def test_storage_opens_to_identities_alone(templates: dict[str, Template]) -> None:
    """No shared key, no public blob, no old TLS, on either account."""
    (account,) = resources_of(templates, "Microsoft.Storage/storageAccounts")
    accounts = [
        module.symbol
        for module in templates["main.bicep"].modules
        if module.target == "app/storage.bicep"
    ]
    assert accounts == ["sourceStorage", "hostStorage"]
    expected = {
        "allowBlobPublicAccess": False,
        "allowSharedKeyAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    }
    assert expected.items() <= account.body["properties"].items()


@pytest.mark.parametrize(
    ("type_", "property_"),
    [
        ("Microsoft.Insights/components", "DisableLocalAuth"),
        ("Microsoft.EventGrid/topics", "disableLocalAuth"),
    ],
)
def test_nothing_takes_a_key(templates: dict[str, Template], type_: str, property_: str) -> None:
    """Telemetry and events are taken from Entra identities only."""
    for resource in resources_of(templates, type_):
        assert resource.body["properties"][property_] is True


def test_the_app_runs_as_the_code_expects(templates: dict[str, Template]) -> None:
    """Flex Consumption, this Python, an instance that waits for the orchestrations."""
    (plan,) = resources_of(templates, "Microsoft.Web/serverfarms")
    (site,) = resources_of(templates, "Microsoft.Web/sites")
    config: dict[str, Any] = site.body["properties"]["functionAppConfig"]
    assert plan.body["sku"]["name"] == "FC1"
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    ready = list(
        templates["app/function-app.bicep"].alternatives(
            config["scaleAndConcurrency"]["alwaysReady"]
        )
    )
    assert ready == [[], [{"name": "durable", "instanceCount": "alwaysReadyInstances"}]]


def test_events_that_fail_are_kept_by_the_topics_own_identity(
    templates: dict[str, Template],
) -> None:
    """Every subscription has the dead-letter container, and its topic an identity of its own."""
    template = templates["subscriptions.bicep"]
    subscriptions = [each for each in template.resources if not each.existing]
    for subscription in subscriptions:
        (kept,) = template.alternatives(
            subscription.body["properties"]["deadLetterWithResourceIdentity"]
        )
        assert kept["identity"] == {"type": "SystemAssigned"}
    assert len(subscriptions) == 2
    for type_ in ("Microsoft.EventGrid/systemTopics", "Microsoft.EventGrid/topics"):
        (topic,) = resources_of(templates, type_)
        assert topic.body["identity"] == {"type": "SystemAssigned"}


def test_a_system_topic_that_is_there_already_is_used(templates: dict[str, Template]) -> None:
    """An account has one at most: none is made then, and its identity writes the dead letters."""
    (blob_events,) = [
        module
        for module in templates["main.bicep"].modules
        if module.target == "app/blob-events.bicep"
    ]
    assert blob_events.arguments["existingName"] == "existingSystemTopic"
    assert templates["main.bicep"].parameters["existingSystemTopic"]["default"] == ""
    template = templates["app/blob-events.bicep"]
    (made,) = resources_of(templates, "Microsoft.EventGrid/systemTopics")
    assert made.conditional
    assert {name: shown(value) for name, value in template.outputs.items()} == {
        "id": "present.id",
        "name": "present.name",
    }
    (present,) = [each for each in template.resources if each.symbol == "present"]
    assert set(template.alternatives(present.body["name"])) == {made.body["name"], "existingName"}
    (dead_letters,) = template.modules
    writers = {shown(each) for each in template.alternatives(dead_letters.arguments["principalId"])}
    assert writers == {"topic.identity.principalId", "present.identity.principalId"}


def test_every_parameter_can_be_set_from_the_environment(templates: dict[str, Template]) -> None:
    """main.parameters.json names each parameter of main.bicep, and no other."""
    file = json.loads((INFRA / "main.parameters.json").read_text())
    assert set(file["parameters"]) == set(templates["main.bicep"].parameters)


def test_every_abbreviation_is_used(templates: dict[str, Template]) -> None:
    """And none is missing."""
    used = re.findall(r"\{abbreviations\.(\w+)", templates["main.bicep"].text)
    assert set(used) == set(json.loads((INFRA / "abbreviations.json").read_text()))


def test_alerts_query_meters_that_the_app_has(templates: dict[str, Template]) -> None:
    """An alert on a meter that does not exist would never fire."""
    alerts = templates["app/alerts.bicep"].variables["queries"]
    named = [re.findall(r"blob_to_outlook\.\w+", alert["query"]) for alert in alerts]
    assert {meter for meters in named for meter in meters} <= METERS
    assert sum(map(bool, named)) == 3


def test_the_workbook_shows_meters_that_the_app_has() -> None:
    """Every item is over the time that is chosen at its head."""
    head, *items = json.loads((INFRA / "app" / "workbook.json").read_text())["items"]
    (time,) = head["content"]["parameters"]
    for item in items:
        meters = set(re.findall(r'"(blob_to_outlook\.\w+)"', item["content"]["query"]))
        assert meters, item["name"]
        assert meters <= METERS
        assert item["content"]["timeContextFromParameter"] == time["name"]
