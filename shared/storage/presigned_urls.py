"""Pre-signed URLs: with each, a client without a role can create one new blob."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    UserDelegationKey,
    generate_blob_sas,
)

from shared.errors import PermissionMissing
from shared.storage.storage_errors import StorageDenied, storage_errors

# An upload must begin within this time. It may end later.
_VALID = timedelta(minutes=10)
# Clocks differ.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class PresignedUrl:
    """A URL that creates one blob until it expires. Whoever has it can use it: a credential."""

    url: str = field(repr=False)
    expires_at: datetime


class PresignedUrls:
    """Signs URLs for the blobs of one container.

    With the account's key where the connection has one. Otherwise with a user delegation key,
    requested for each URL: it is valid no longer than the role of the app's identity.
    """

    def __init__(self, service: BlobServiceClient, container: str) -> None:
        self._service = service
        self._container = container

    def create(self, name: str) -> PresignedUrl:
        """A URL that creates the blob of this name, and cannot read, change or replace it.

        Raises :class:`PermissionMissing` and :class:`StorageUnavailable`.
        """
        now = datetime.now(UTC)
        expires = (now + _VALID).replace(microsecond=0)
        account_key = getattr(self._service.credential, "account_key", None)
        delegation_key = None if account_key else self._delegation_key(now, expires, name)
        blob = self._service.get_blob_client(self._container, name)
        signature = generate_blob_sas(
            account_name=str(self._service.account_name),
            container_name=self._container,
            blob_name=name,
            account_key=account_key,
            user_delegation_key=delegation_key,
            permission=BlobSasPermissions(create=True),
            expiry=expires,
            protocol="https" if urlsplit(blob.url).scheme == "https" else None,
        )
        # The client's own URL may contain the signature of its connection string.
        return PresignedUrl(f"{blob.url.partition('?')[0]}?{signature}", expires)

    def _delegation_key(self, now: datetime, expires: datetime, name: str) -> UserDelegationKey:
        try:
            with storage_errors(name):
                return self._service.get_user_delegation_key(now - _SKEW, expires)
        except StorageDenied as error:
            raise PermissionMissing(
                "Azure Storage refused the app a key to sign upload URLs with "
                f"({error.status} {error.storage_code}). Grant the app's identity the role "
                "Storage Blob Delegator on the account of the watched container."
            ) from None
