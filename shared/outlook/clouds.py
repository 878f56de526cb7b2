"""The four Microsoft clouds: where Graph is, and where its upload sessions may point.

Graph's hosts are published; the upload hosts of the national clouds are Exchange's own hosts
there, since no document names them (protocol §2, §8): UPLOAD_HOSTS adds what else turns up.
"""

from dataclasses import dataclass

from shared.settings import Settings, is_loopback_http


@dataclass(frozen=True, slots=True)
class Cloud:
    """Graph's root and the hosts that Outlook hands out upload URLs for."""

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
    """Where this app's Graph is, what its tokens are for, and where bytes may be sent.

    ``loopback_uploads`` lets upload URLs be plain http on loopback; it is on only when Graph
    itself is there, as on a developer's machine.
    """

    root: str
    scope: str
    upload_hosts: frozenset[str]
    loopback_uploads: bool


def graph_endpoint(settings: Settings) -> GraphEndpoint:
    """The endpoint that the settings describe; tokens are always for the cloud's own Graph."""
    cloud = CLOUDS[settings.graph_cloud]
    base = settings.graph_base_url or cloud.graph
    return GraphEndpoint(
        root=f"{base}/{settings.graph_version}",
        scope=f"{cloud.graph}/.default",
        upload_hosts=cloud.upload_hosts | set(settings.upload_hosts),
        loopback_uploads=is_loopback_http(base),
    )
