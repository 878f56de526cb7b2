"""Proxies and CA bundles of the environment, by the client's own rules for them."""

import pytest

from shared.outlook.connections import environment, http_session

GRAPH = "https://graph.microsoft.com/v1.0"
PROXY = "http://proxy.contoso.com:3128"
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", *BUNDLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_proxy_is_used_except_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for the hosts of NO_PROXY, and never for the loopback."""
    assert environment(GRAPH, True)["proxies"] == {}
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert environment(GRAPH, True)["proxies"]["https"] == PROXY
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert environment(f"http://{host}:9/x", True)["proxies"] == {}
    monkeypatch.setenv("NO_PROXY", "graph.microsoft.com")
    assert environment(GRAPH, True)["proxies"] == {}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_ca_bundle_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By each of its names, unless the caller names another one."""
    assert environment(GRAPH, True)["verify"] is True
    monkeypatch.setenv(name, "/ca.pem")
    assert environment(GRAPH, True)["verify"] == "/ca.pem"
    assert environment(GRAPH, "/own.pem")["verify"] == "/own.pem"


def test_nothing_else_of_the_environment_is_used() -> None:
    """No netrc."""
    assert not http_session(True).trust_env
