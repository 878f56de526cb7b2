import pytest

from shared.outlook.clouds import graph_endpoint
from shared.settings import Settings


@pytest.mark.parametrize(
    ("cloud", "host", "upload_host"),
    [
        ("global", "graph.microsoft.com", "outlook.office.com"),
        ("usgov", "graph.microsoft.us", "outlook.office365.us"),
        ("dod", "dod-graph.microsoft.us", "outlook-dod.office365.us"),
        ("china", "microsoftgraph.chinacloudapi.cn", "partner.outlook.cn"),
    ],
)
def test_each_cloud_has_its_own_hosts(cloud: str, host: str, upload_host: str) -> None:
    """Root, token scope and upload hosts go together."""
    endpoint = graph_endpoint(Settings.model_validate({"graph_cloud": cloud}))
    assert endpoint.root == f"https://{host}/v1.0"
    assert endpoint.scope == f"https://{host}/.default"
    assert upload_host in endpoint.upload_hosts
    assert not endpoint.loopback_uploads


def test_another_root_keeps_the_clouds_tokens() -> None:
    """An emulator or a proxy gets tokens for the real Graph."""
    settings = Settings.model_validate(
        {"graph_base_url": "http://localhost:8080", "graph_version": "beta"}
    )
    endpoint = graph_endpoint(settings)
    assert endpoint.root == "http://localhost:8080/beta"
    assert endpoint.scope == "https://graph.microsoft.com/.default"
    assert endpoint.loopback_uploads


def test_upload_hosts_are_added() -> None:
    """The setting adds to the cloud's own hosts."""
    settings = Settings.model_validate({"upload_hosts": "Outlook.Example"})
    assert {"outlook.example", "outlook.office.com"} <= graph_endpoint(settings).upload_hosts
