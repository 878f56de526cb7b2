"""The four Microsoft clouds: the host of Graph, and the allowed hosts of upload URLs.

Graph's hosts are published. No document names the upload hosts of the national clouds, so the
hosts of Exchange are allowed there; the app setting UPLOAD_HOSTS adds others. See "National
clouds" in docs/protocol.md.
"""

from dataclasses import dataclass

from shared.settings import Settings, is_loopback_http


@dataclass(frozen=True, slots=True)
class Cloud:
    """Graph's root and the allowed hosts of upload URLs."""

    graph: str
    upload_hosts: frozenset[str]


CLOUDS = {
    "global": Cloud(
        "https://graph.microsoft.com",
        frozenset({"outlook.office.com", "outlook.office365.com"}),
    ),
    "usgov": Cloud("https://graph.microsoft.us", frozenset({"outlook.office365.us"})),
    "dod": Cloud("https://dod-graph.microsoft.us", frozenset({"outlook-dod.office365.us"})),
    "china": Cloud("https://microsoftgraph.chinacloudapi.cn", frozenset({"partner.outlook.cn"})),
}


@dataclass(frozen=True, slots=True)
class GraphEndpoint:
    """The root URL of Graph, the scope of its tokens, and the allowed hosts of upload URLs.

    ``loopback_uploads`` also allows http URLs on loopback. It is set only if Graph's own URL is
    one, as on a developer's machine.
    """

    root: str
    scope: str
    upload_hosts: frozenset[str]
    loopback_uploads: bool


def graph_endpoint(settings: Settings) -> GraphEndpoint:
    """The endpoint for the settings; the scope is always that of the cloud's own Graph."""
    cloud = CLOUDS[settings.graph_cloud]
    base = settings.graph_base_url or cloud.graph
    return GraphEndpoint(
        root=f"{base}/{settings.graph_version}",
        scope=f"{cloud.graph}/.default",
        upload_hosts=cloud.upload_hosts | set(settings.upload_hosts),
        loopback_uploads=is_loopback_http(base),
    )
