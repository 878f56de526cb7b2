"""The listing of a container, read lightly enough to be read twice a second.

The storage library spends about 250 ms of processor time on a thousand blobs, mostly on properties
that nobody here asks for; the bare XML takes a twentieth of that.
"""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, unquote
from xml.etree import ElementTree as Xml

import aiohttp
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ResourceTypes,
    generate_account_sas,
)

from infra.local.functions_host.errors import AppConfigError

_SIGNATURE_DAYS = 365


class BlobListing:
    """One container, made when it is missing."""

    def __init__(self, connection_string: str, container: str) -> None:
        """Raises :class:`AppConfigError` for a connection string without an account key."""
        try:
            with BlobServiceClient.from_connection_string(connection_string) as client:
                signature = _signature(client)
                self._url = f"{client.primary_endpoint.rstrip('/')}/{quote(container)}"
        except (ValueError, AttributeError) as error:
            raise AppConfigError(
                f"the connection string of container {container} has no account and key: {error}"
            ) from error
        self._parameters = {**dict(parse_qsl(signature)), "restype": "container"}

    async def etags(self, session: aiohttp.ClientSession) -> dict[str, str]:
        """Every blob of the container and its ETag.

        Raises :class:`aiohttp.ClientError` when the storage does not answer as it should.
        """
        found: dict[str, str] = {}
        marker = ""
        while True:
            page = await self._page(session, marker)
            for blob in page.iterfind("Blobs/Blob"):
                found[_name(blob)] = blob.findtext("Properties/Etag", "")
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return found

    async def _page(self, session: aiohttp.ClientSession, marker: str) -> Xml.Element:
        query = {**self._parameters, "comp": "list", "marker": marker}
        async with session.get(self._url, params=query) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                await self._create(session)
                return Xml.Element("EnumerationResults")
            _check(response)
            try:
                return Xml.fromstring(await response.text())  # noqa: S314 (our own storage)
            except Xml.ParseError as error:
                raise aiohttp.ClientError(f"the storage answered no XML: {error}") from error

    async def _create(self, session: aiohttp.ClientSession) -> None:
        async with session.put(self._url, params=self._parameters) as response:
            if response.status != HTTPStatus.CONFLICT:  # somebody else may have been faster
                _check(response)


def _check(response: aiohttp.ClientResponse) -> None:
    # aiohttp's own exception would show the URL, which is a credential.
    if not response.ok:
        raise aiohttp.ClientError(f"the storage answered {response.status} {response.reason}")


def _signature(client: BlobServiceClient) -> str:
    return generate_account_sas(
        account_name=client.account_name or "",
        account_key=client.credential.account_key,
        resource_types=ResourceTypes(container=True),
        permission=AccountSasPermissions(list=True, create=True),
        expiry=datetime.now(UTC) + timedelta(days=_SIGNATURE_DAYS),
    )


def _name(blob: Xml.Element) -> str:
    """The blob's name; one that XML cannot hold comes percent-encoded."""
    element = blob.find("Name")
    text = "" if element is None else element.text or ""
    encoded = element is not None and element.get("Encoded") == "true"
    return unquote(text) if encoded else text
