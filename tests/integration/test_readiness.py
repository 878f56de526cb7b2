"""Readiness with real parts: what is missing is named, and a check that hangs has a timeout."""

import re
from threading import Event
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobServiceClient

from infra.local.outlook import Fault, catalogue
from shared.settings import StorageConnection
from shared.storage.accounts import table_service
from shared.storage.ledger import TABLE, Ledger, LedgerEntry
from shared.storage.source_container import SourceContainer
from shared.transfer.service.readiness import Check, Readiness
from tests.conftest import MakeHarness
from tests.support.harness import Harness
from tests.support.in_memory.tables import MemoryTable


def readiness(harness: Harness, **limits: float) -> Readiness:
    return Readiness(harness.source, Ledger(harness.tables), harness.graph, **limits)


def by_name(found: tuple[Check, ...]) -> dict[str, Check]:
    assert [each.name for each in found] == ["identity", "container", "ledger", "graph"]
    return {each.name: each for each in found}


def faults_of(harness: Harness) -> list[str]:
    """The names of the checks that are not ok."""
    return [each.name for each in readiness(harness).check() if not each.ok]


class Credential:
    """A credential that fails, after the gate opens if there is one."""

    def __init__(self, gate: Event | None = None, error: type[Exception] | None = None) -> None:
        self.requests = 0
        self._gate = gate
        self._error = error or ClientAuthenticationError

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        self.requests += 1
        if self._gate is not None:
            self._gate.wait()
        raise self._error("secret detail")

    @property
    def as_credential(self) -> TokenCredential:
        return cast("TokenCredential", self)


def test_everything_is_there(make_harness: MakeHarness) -> None:
    """Each check has its own line, and the request to Graph has the token."""
    harness = make_harness()
    found = readiness(harness).check()
    assert all(each.ok for each in found)
    assert by_name(found)["graph"].to_json() == {
        "name": "graph",
        "ok": True,
        "message": "Graph responds.",
    }
    (request,) = [each for each in harness.emulator.requests if each.kind == "other"]
    assert (request.method, request.target) == ("GET", "/v1.0")
    assert "Authorization" in request.headers


@pytest.mark.parametrize("error", [ClientAuthenticationError, ZeroDivisionError])
def test_without_an_identity(make_harness: MakeHarness, error: type[Exception]) -> None:
    """Neither a token nor Graph; the text of the error is not shown."""
    harness = make_harness()
    harness.graph._credential = Credential(error=error).as_credential
    found = by_name(readiness(harness).check())
    assert [each.ok for each in found.values()] == [False, True, True, False]
    assert "secret" not in str(found)
    if error is ClientAuthenticationError:
        assert "GRAPH_CLIENT_ID" in found["identity"].message


def test_without_the_container(make_harness: MakeHarness) -> None:
    """The message has the name of the setting."""
    harness = make_harness()
    harness.container.delete_container()
    found = by_name(readiness(harness).check())
    assert [each.ok for each in found.values()] == [True, False, True, True]
    assert "SOURCE_CONTAINER" in found["container"].message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((r"AccountKey=[^;]+", "AccountKey=c2VjcmV0"), "403 AuthorizationFailure"),
        ((r"BlobEndpoint=http://[^/]+", "BlobEndpoint=http://127.0.0.1:1"), "no response"),
    ],
)
def test_storage_that_refuses_or_is_unreachable(
    azurite: str, make_harness: MakeHarness, change: tuple[str, str], message: str
) -> None:
    """One try; the message has neither key nor address."""
    harness = make_harness()
    with BlobServiceClient.from_connection_string(re.sub(*change, azurite)) as service:
        source = SourceContainer(service.get_container_client(harness.source.container))
        found = by_name(Readiness(source, Ledger(harness.tables), harness.graph).check())
    assert not found["container"].ok
    assert message in found["container"].message
    assert not {"c2VjcmV0", "127.0.0.1"} & set(found["container"].message.split())


def test_a_ledger_that_has_no_table_yet_is_ready(make_harness: MakeHarness) -> None:
    """The first transfer creates it; then it can be read."""
    harness = make_harness()
    found = by_name(readiness(harness).check())["ledger"]
    assert (found.ok, "creates it" in found.message) == (True, True)
    Ledger(harness.tables).put(LedgerEntry("ab-1"))
    found = by_name(readiness(harness).check())["ledger"]
    assert (found.ok, found.message) == (True, f"The table {TABLE} can be used.")


# The SDK's own, when an error is described in XML.
@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((r"AccountKey=[^;]+", "AccountKey=c2VjcmV0"), "Storage Table Data Contributor"),
        ((r"TableEndpoint=http://[^/]+", "TableEndpoint=http://127.0.0.1:1"), "tableServiceUri"),
    ],
    ids=["not allowed", "unreachable"],
)
def test_a_ledger_that_refuses_or_is_unreachable(
    azurite: str, make_harness: MakeHarness, change: tuple[str, str], message: str
) -> None:
    """One try; the message names what to change, and has neither key nor address."""
    harness = make_harness()
    connection = StorageConnection("AzureWebJobsStorage", re.sub(*change, azurite))
    with table_service(connection) as service:
        found = by_name(Readiness(harness.source, Ledger(service), harness.graph).check())
    assert [each.ok for each in found.values()] == [True, True, False, True]
    assert message in found["ledger"].message
    assert "c2VjcmV0" not in found["ledger"].message
    assert "127.0.0.1" not in found["ledger"].message


class ReadOnlyTable(MemoryTable):
    """A table that the app may read only, or whose account is busy."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__()
        self.exists = True
        self.status, self.code = status, code

    def delete_entity(self, *_: object, **__: object) -> None:
        error = HttpResponseError("secret detail")
        error.status_code = self.status
        error.error_code = self.code  # type: ignore[attr-defined]
        raise error


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "AuthorizationPermissionMismatch", "Storage Table Data Contributor"),
        (503, "ServerBusy", "Try again"),
    ],
)
def test_a_ledger_that_cannot_be_written(
    make_harness: MakeHarness, status: int, code: str, advice: str
) -> None:
    """Reading alone is not enough."""
    harness = make_harness()
    harness.memory_tables.tables[TABLE] = ReadOnlyTable(status, code)
    found = by_name(readiness(harness).check())["ledger"]
    assert not found.ok
    assert f"{status} {code}" in found.message
    assert advice in found.message
    assert "secret" not in found.message


def test_a_ledger_full_of_foreign_rows(make_harness: MakeHarness) -> None:
    """Another program's table; a single odd row among the app's own stops one transfer only."""
    harness = make_harness()
    table = harness.memory_tables.create_table_if_not_exists(TABLE)
    for number in range(3):
        table.create_entity({"PartitionKey": "orders", "RowKey": str(number), "total": 12})
    found = by_name(readiness(harness).check())["ledger"]
    assert not found.ok
    assert f"The table {TABLE} holds rows of another program" in found.message
    Ledger(harness.tables).put(LedgerEntry("ab-1"))
    found = by_name(readiness(harness).check())["ledger"]
    assert (found.ok, "3 rows" in found.message) == (True, True)


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (400, True), (403, True), (401, False), (429, False)]
)
def test_any_response_but_a_failure_is_ready(
    make_harness: MakeHarness, status: int, ok: bool
) -> None:
    """Even a call that needs no permission may be refused."""
    harness = make_harness()
    harness.graph.has_identity()
    refused = catalogue.refused(status)
    harness.emulator.faults.add(Fault(misbehaviour=refused, kind="other", times=None))
    assert faults_of(harness) == ([] if ok else ["graph"])


@pytest.mark.parametrize(
    "misbehaviour",
    [catalogue.refused(503), catalogue.hang(), catalogue.lost_answer("reset")],
    ids=lambda misbehaviour: misbehaviour.name,
)
def test_a_failing_graph(make_harness: MakeHarness, misbehaviour: Any) -> None:
    """The other checks are ready."""
    harness = make_harness()
    harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind="other"))
    assert faults_of(harness) == ["graph"]


def test_an_unreachable_graph(make_harness: MakeHarness) -> None:
    """No server listens on its port; the earlier token is still valid."""
    harness = make_harness()
    harness.graph.has_identity()
    harness.emulator.stop()
    found = by_name(readiness(harness).check())
    assert [each.ok for each in found.values()] == [True, True, True, False]
    assert "the connection could not be made" in found["graph"].message
    assert harness.emulator.url not in str(found)


def test_a_check_that_hangs_times_out(make_harness: MakeHarness) -> None:
    """The other checks have results, and repeated calls do not start it again."""
    harness = make_harness()
    gate = Event()
    credential = Credential(gate)
    ready = readiness(harness, seconds=0.2)
    harness.graph._credential = credential.as_credential
    for _ in range(100):
        found = by_name(ready.check())
        assert not found["graph"].ok
        assert "No response within 0.2 seconds" in found["identity"].message
        if found["container"].ok:
            break
    assert found["container"].ok
    # The checks of identity and Graph request a token each.
    assert credential.requests == 2
    gate.set()
