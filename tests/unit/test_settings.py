import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError
from shared.settings import Settings, read_app_settings

CONNECTION = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0;"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("AzureWebJobsStorage", CONNECTION)
    return monkeypatch


def test_defaults_are_those_of_the_readme() -> None:
    """With nothing set but the storage, every setting has its documented default."""
    settings = read_app_settings()
    assert settings.values.model_dump() == {
        "source_container": "outlook-attachments",
        "session_container": "upload-sessions",
        "allowed_mailboxes": (),
        "graph_cloud": "global",
        "graph_version": "v1.0",
        "graph_base_url": None,
        "upload_hosts": (),
        "graph_client_id": None,
        "range_bytes": 3_932_160,
        "ranges_per_activity": 8,
        "max_attachment_bytes": 157_286_400,
        "max_download_bytes": 33_554_432,
        "mailbox_concurrency": 4,
        "mailbox_window_bytes": 150_000_000,
        "mailbox_window_seconds": 300,
        "transfer_deadline_minutes": 240,
        "queue_deadline_hours": 24,
        "reconcile_seconds": 120,
        "empty_blob_seconds": 300,
        "event_grid_topic_endpoint": None,
        "history_days": 30,
        "sign_in_client_id": None,
    }
    assert settings.source == settings.host_storage


def test_every_fault_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    """One error names all invalid settings."""
    environment.delenv("AzureWebJobsStorage")
    environment.setenv("RANGE_BYTES", "5000000")
    environment.setenv("GRAPH_CLOUD", "mars")
    environment.setenv("SOURCE_CONTAINER", "Not A Container")
    environment.setenv("GRAPH_BASE_URL", "http://graph.example")
    environment.setenv("UPLOAD_HOSTS", "https://outlook.example")
    environment.setenv("EVENT_GRID_TOPIC_ENDPOINT", "http://topic.example")
    with pytest.raises(SettingsError) as caught:
        read_app_settings()
    named = {fault.partition(":")[0] for fault in caught.value.faults}
    assert named == {
        "AzureWebJobsStorage",
        "RANGE_BYTES",
        "GRAPH_CLOUD",
        "SOURCE_CONTAINER",
        "GRAPH_BASE_URL",
        "UPLOAD_HOSTS",
        "EVENT_GRID_TOPIC_ENDPOINT",
    }
    assert "AzureWebJobsStorage__blobServiceUri" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRANSFER_DEADLINE_MINUTES", "inf"),
        ("TRANSFER_DEADLINE_MINUTES", "1e15"),
        ("RECONCILE_SECONDS", "-1"),
        ("UPLOAD_HOSTS", "*.office.com"),
        ("SourceStorage", "garbage"),
        ("SourceStorage__clientId", "1-2"),
    ],
)
def test_a_value_that_could_never_work_is_refused(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """At start, not in the middle of a transfer."""
    environment.setenv(name, value)
    with pytest.raises(SettingsError, match=name.partition("__")[0]):
        read_app_settings()


def test_empty_values_are_as_good_as_none(environment: pytest.MonkeyPatch) -> None:
    """Infrastructure writes optional settings as empty texts."""
    for name in ("GRAPH_BASE_URL", "GRAPH_CLIENT_ID", "RANGE_BYTES", "ALLOWED_MAILBOXES"):
        environment.setenv(name, "")
    values = read_app_settings().values
    assert (values.graph_base_url, values.graph_client_id) == (None, None)
    assert values.range_bytes == 3_932_160
    assert not values.allows("anyone@contoso.com")


@pytest.mark.parametrize(
    ("patterns", "mailbox", "allowed"),
    [
        ("", "a@contoso.com", False),
        ("*", "a@contoso.com", True),
        ("*@contoso.com", "A@Contoso.COM", True),
        ("*@Contoso.com , b@fabrikam.com", "b@FABRIKAM.com", True),
        ("*@contoso.com", "a@contoso.com.evil.example", False),
        ("*@contoso.com", "a@evil.example", False),
        ("scan-*@contoso.com", "scan-1@contoso.com", True),
        ("scan-?@contoso.com", "scan-1@contoso.com", False),
        ("[ab]@contoso.com", "a@contoso.com", False),
        ("a@contoso.com", "a@contoso.com\n", False),
        ("a*a", "a", False),
        ("a**a", "aa", True),
        ("*ab*ba*", "aba", False),
        ("*ab*ba*", "xabyba", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
    ],
)
def test_mailboxes_are_denied_unless_a_pattern_names_them(
    environment: pytest.MonkeyPatch, patterns: str, mailbox: str, allowed: bool
) -> None:
    """Patterns know the star, ignore case and match the whole address."""
    environment.setenv("ALLOWED_MAILBOXES", patterns)
    assert read_app_settings().values.allows(mailbox) is allowed


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_star_stands_for_any_text(pattern: str, text: str) -> None:
    """As in the regular expression with ``.*`` for it, on every short text."""
    settings = Settings.model_validate({"allowed_mailboxes": pattern or "b"})
    expression = ".*".join(map(re.escape, (pattern or "b").split("*")))
    assert settings.allows(text) is bool(re.fullmatch(expression, text))


def test_a_pattern_of_many_stars_costs_no_more_than_its_length() -> None:
    """With a search that goes back to earlier stars, this one would never end."""
    settings = Settings.model_validate({"allowed_mailboxes": "*a" * 40 + "*b"})
    assert not settings.allows("a" * 319)


def test_graph_root_loses_its_last_slash(environment: pytest.MonkeyPatch) -> None:
    """Paths are put together from the root without doubling a slash; loopback may be http."""
    environment.setenv("GRAPH_BASE_URL", "http://127.0.0.1:8080/")
    assert read_app_settings().values.graph_base_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    "url",
    [
        *("https://u:p@graph.example", "https://g.example/?a=b", "ftp://x"),
        "https://graph.example:99999",
    ],
)
def test_a_graph_root_is_nothing_but_a_root(environment: pytest.MonkeyPatch, url: str) -> None:
    """User information, a query, another scheme or an invalid port is refused."""
    environment.setenv("GRAPH_BASE_URL", url)
    with pytest.raises(SettingsError, match="GRAPH_BASE_URL"):
        read_app_settings()


def test_source_storage_by_identity(environment: pytest.MonkeyPatch) -> None:
    """A service URI and a client id stand in for a connection string."""
    environment.setenv("SourceStorage__blobServiceUri", "https://s.blob.core.windows.net")
    environment.setenv("SourceStorage__credential", "managedidentity")
    environment.setenv("SourceStorage__clientId", "0000-11")
    source = read_app_settings().source
    assert (source.name, source.service_uri, source.client_id) == (
        "SourceStorage",
        "https://s.blob.core.windows.net",
        "0000-11",
    )


def test_host_storage_by_account_name(environment: pytest.MonkeyPatch) -> None:
    """The Functions host allows an account name alone."""
    environment.delenv("AzureWebJobsStorage")
    environment.setenv("AzureWebJobsStorage__accountName", "acc")
    storage = read_app_settings().host_storage
    assert storage.service_uri == "https://acc.blob.core.windows.net"
    assert storage.table_uri == "https://acc.table.core.windows.net"


def test_host_storage_by_identity_has_its_tables(environment: pytest.MonkeyPatch) -> None:
    """By the service URI that the Functions host needs as well, or by the account's name."""
    environment.delenv("AzureWebJobsStorage")
    environment.setenv("AzureWebJobsStorage__blobServiceUri", "https://acc.blob.example")
    environment.setenv("AzureWebJobsStorage__tableServiceUri", "https://acc.table.example")
    assert read_app_settings().host_storage.table_uri == "https://acc.table.example"
    environment.delenv("AzureWebJobsStorage__tableServiceUri")
    with pytest.raises(SettingsError, match="AzureWebJobsStorage__tableServiceUri: missing"):
        read_app_settings()
    environment.setenv("AzureWebJobsStorage__accountName", "acc")
    storage = read_app_settings().host_storage
    assert storage.service_uri == "https://acc.blob.example"
    assert storage.table_uri == "https://acc.table.core.windows.net"


def test_host_storage_by_its_tables_alone_is_half(environment: pytest.MonkeyPatch) -> None:
    """The blob service is named in the fault."""
    environment.delenv("AzureWebJobsStorage")
    environment.setenv("AzureWebJobsStorage__tableServiceUri", "https://acc.table.example")
    with pytest.raises(SettingsError, match="blobServiceUri: missing, while other settings"):
        read_app_settings()


def test_the_watched_account_needs_no_tables(environment: pytest.MonkeyPatch) -> None:
    """The ledger is in the account of AzureWebJobsStorage."""
    environment.setenv("SourceStorage__blobServiceUri", "https://s.blob.core.windows.net")
    assert read_app_settings().source.table_uri is None


def test_no_key_is_printed() -> None:
    """A connection string holds an account key: it is in no representation."""
    settings = read_app_settings()
    assert "c2VjcmV0" not in repr(settings)
