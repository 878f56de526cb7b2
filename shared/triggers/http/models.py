"""Bodies and queries of the HTTP API that no other part of the app uses."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.errors import InvalidRequest
from shared.transfer.payloads import Failure, State
from shared.transfer.service.readiness import Check
from shared.transfer.service.transfers import MAX_LISTED
from shared.validation import field_faults

# Every storage provider of Durable can represent times between these years.
_FIRST_YEAR, _LAST_YEAR = 2000, 9000


class ListQuery(BaseModel):
    """The query of a list of transfers. Other parameters, such as a key, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    since: datetime | None = None
    status: State | None = None
    mailbox: str | None = None
    top: Annotated[int, Field(ge=1, le=MAX_LISTED)] = MAX_LISTED

    @field_validator("since")
    @classmethod
    def _in_utc(cls, time: datetime | None) -> datetime | None:
        if time and not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            raise ValueError(f"should be between the years {_FIRST_YEAR} and {_LAST_YEAR}")
        return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time

    @classmethod
    def read(cls, params: Mapping[str, str]) -> Self:
        """The query that a request's parameters hold.

        Raises :class:`InvalidRequest`, with every fault at once.
        """
        try:
            return cls.model_validate(dict(params))
        except ValidationError as error:
            raise InvalidRequest(field_faults(error)) from None


class BatchItem(BaseModel):
    """The result for one blob of several: the id of its transfer, or why there is none."""

    blob: str
    id: str | None = None
    error: Failure | None = None


class BatchResult(BaseModel):
    """The result for each blob, in the order of the request."""

    items: list[BatchItem]


class Health(BaseModel):
    """The app is running. Nothing else was checked."""

    status: Literal["alive"] = "alive"


class ReadinessReport(BaseModel):
    """Whether the app can reach all that it needs, and the result of each check."""

    ready: bool
    checks: list[Check]
