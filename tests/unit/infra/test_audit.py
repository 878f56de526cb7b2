"""What happens to files is logged and can be undone, and calls can carry a name."""

import re
from typing import Any

import azure.functions as func
import pytest

from infra.offline.bicep import INFRA, Module, Resource, Template, decorators, shown
from infra.offline.settings import app_settings
from shared.triggers.callers import Callers
from shared.triggers.http.calls import CALLS

# What Event Grid and probes call, with a key in the URL or with none: they cannot sign in.
EXCLUDED = {
    "/api/health",
    "/runtime/webhooks/blobs",
    "/runtime/webhooks/EventGrid",
    "/runtime/webhooks/eventgrid",
}
PRINCIPAL = {
    "X-MS-CLIENT-PRINCIPAL-ID": "4d1f",
    "X-MS-CLIENT-PRINCIPAL-NAME": "ann@contoso.com",
}


def uses(templates: dict[str, Template], file: str) -> list[Module]:
    return [module for module in templates["main.bicep"].modules if module.target == file]


def only(templates: dict[str, Template], file: str, type_: str) -> Resource:
    (found,) = [
        each for each in templates[file].resources if each.type == type_ and not each.existing
    ]
    return found


def test_both_accounts_log_who_writes(templates: dict[str, Template]) -> None:
    """By default writes and deletions of blobs, to the workspace; reads where they are wanted."""
    parameter = templates["main.bicep"].parameters["storageLogs"]
    assert decorators(parameter)["allowed"] == ["None", "Writes", "All"]
    assert parameter["default"] == "Writes"
    accounts = [
        shown(module.arguments["accountName"])
        for module in uses(templates, "app/storage-logs.bicep")
    ]
    assert accounts == ["sourceStorage.outputs.name", "hostStorage.outputs.name"]
    text = templates["main.bicep"].text
    conditions = re.findall(r"'app/storage-logs\.bicep' = if \((.*)\) \{", text)
    assert conditions == ["storageLogs != 'None'"] * 2
    template = templates["app/storage-logs.bicep"]
    logs = only(templates, template.file, "Microsoft.Insights/diagnosticSettings")
    assert logs.body["scope"] == "blobs"
    assert logs.body["properties"]["workspaceId"] == "workspaceId"
    text = shown(template.variables["categories"])
    assert re.findall(r"Storage\w+", text) == ["StorageWrite", "StorageDelete", "StorageRead"]


def test_only_files_can_be_restored(templates: dict[str, Template]) -> None:
    """Those of the watched account. Upload URLs, of the other one, must be gone when they are."""
    (watched,) = uses(templates, "app/watched-blobs.bicep")
    assert shown(watched.arguments["accountName"]) == "sourceStorage.outputs.name"
    assert shown(watched.arguments["softDeleteDays"]) == "blobSoftDeleteDays"
    template = templates["app/watched-blobs.bicep"]
    service = only(templates, template.file, "Microsoft.Storage/storageAccounts/blobServices")
    kept = list(template.alternatives(service.body["properties"]["deleteRetentionPolicy"]))
    assert kept == [{"enabled": False}, {"enabled": True, "days": "softDeleteDays"}]
    settings = [file for file, each in templates.items() if "deleteRetentionPolicy" in each.text]
    assert settings == ["app/watched-blobs.bicep"]
    assert templates["main.bicep"].parameters["blobSoftDeleteDays"]["default"] > 0


def test_sign_in_is_off_by_default(templates: dict[str, Template]) -> None:
    """And goes off again: the settings are deployed in either case."""
    assert templates["main.bicep"].parameters["signInClientId"]["default"] == ""
    (used,) = uses(templates, "app/sign-in.bicep")
    assert not used.conditional
    template = templates["app/sign-in.bicep"]
    settings = only(templates, template.file, "Microsoft.Web/sites/config")
    off, on = template.alternatives(settings.body["properties"])
    assert settings.body["name"] == "authsettingsV2"
    assert off == {"platform": {"enabled": False}}
    assert on["platform"]["enabled"] is True
    assert on["globalValidation"]["requireAuthentication"] is True


def sign_in(templates: dict[str, Template]) -> dict[str, Any]:
    template = templates["app/sign-in.bicep"]
    settings = only(templates, template.file, "Microsoft.Web/sites/config")
    _, on = template.alternatives(settings.body["properties"])
    found: dict[str, Any] = on
    return found


def test_only_those_who_cannot_sign_in_need_not(templates: dict[str, Template]) -> None:
    """The webhooks of events, which have keys of their own, and the probe, which says nothing."""
    excluded = set(sign_in(templates)["globalValidation"]["excludedPaths"])
    assert excluded == EXCLUDED
    webhooks = re.findall(r"/runtime/webhooks/\w+", templates["subscriptions.bicep"].text)
    assert webhooks
    assert set(webhooks) <= excluded
    open_calls = {f"/api/{call.route}" for call in CALLS if not call.keyed}
    assert {path for path in excluded if path.startswith("/api/")} <= open_calls


def test_tokens_are_for_this_app_and_of_this_tenant(templates: dict[str, Template]) -> None:
    """Of the cloud that the app is in; nothing secret is needed or kept."""
    entra = sign_in(templates)["identityProviders"]["azureActiveDirectory"]
    assert entra["registration"] == {
        "clientId": "clientId",
        "openIdIssuer": "${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0",
    }
    assert entra["validation"]["allowedAudiences"] == ["clientId", "api://${clientId}"]
    assert sign_in(templates)["login"]["tokenStore"]["enabled"] is False


def test_the_app_knows_whether_its_callers_sign_in(templates: dict[str, Template]) -> None:
    """By the same parameter: without sign-in anybody could send the headers that name a caller."""
    (app,) = uses(templates, "app/function-app.bicep")
    (gate,) = uses(templates, "app/sign-in.bicep")
    assert app_settings(templates)["SIGN_IN_CLIENT_ID"] == "signInClientId"
    assert app.arguments["signInClientId"] == gate.arguments["clientId"] == "signInClientId"


@pytest.mark.parametrize(
    ("signed_in", "headers", "logged"),
    [
        (True, PRINCIPAL, ["call list_transfers by 4d1f ('ann@contoso.com')"]),
        (True, {"X-MS-CLIENT-PRINCIPAL-ID": "4d1f"}, ["call list_transfers by 4d1f ('')"]),
        (True, {"X-MS-CLIENT-PRINCIPAL-ID": "4\nd1f"}, ["call list_transfers by 4d1f ('')"]),
        (True, {}, []),
        (False, PRINCIPAL, []),
    ],
)
def test_the_log_names_who_called(
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    logged: list[str],
    *,
    signed_in: bool,
) -> None:
    """As App Service authentication says; where it is off, its headers are anybody's."""
    request = func.HttpRequest("GET", "/api/transfers", headers=headers, body=b"")
    with caplog.at_level("INFO"):
        Callers(signed_in=signed_in).log("list_transfers", request)
    assert [record.getMessage() for record in caplog.records] == logged


def test_operations_has_a_page_for_auditors() -> None:
    """Who may do what, where it is logged, what a writer of blobs can cause, how keys change."""
    text = (INFRA / "OPERATIONS.md").read_text()
    page = text.split("\n## For auditors\n")[1].partition("\n## ")[0]
    for title in ("Who may do what", "Where it is logged", "What a writer of blobs can cause"):
        assert f"\n**{title}" in page, title
    for named in ("StorageBlobLogs", "SetBlobMetadata", "#rotate", "SIGN_IN_CLIENT_ID"):
        assert named in page, named
