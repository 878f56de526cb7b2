"""The bodies and queries that are the HTTP API's own."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.errors import FieldFault, InvalidRequest
from shared.transfer.payloads import Failure, State
from shared.transfer.service.readiness import Check
from shared.transfer.service.transfers import MAX_LISTED

# What every engine can turn into a time of its own.
_FIRST_YEAR, _LAST_YEAR = 2000, 9000


class ListQuery(BaseModel):
    """The query of a listing; other parameters, such as a key, are none of its business."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    since: datetime | None = None
    status: State | None = None
    mailbox: str | None = None
    top: Annotated[int, Field(ge=1, le=MAX_LISTED)] = MAX_LISTED

    @field_validator("since")
    @classmethod
    def _in_utc(cls, time: datetime | None) -> datetime | None:
        if time and not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            raise ValueError("should be a time of our days")
        return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time

    @classmethod
    def read(cls, params: Mapping[str, str]) -> Self:
        """The query out of a request's parameters.

        Raises :class:`InvalidRequest`, with every fault at once.
        """
        try:
            return cls.model_validate(dict(params))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            faults = [
                FieldFault(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, "))
                for e in errors
            ]
            raise InvalidRequest(faults) from None


class Placement(BaseModel):
    """What became of one blob of several: the id of its transfer, or why there is none."""

    blob: str
    id: str | None = None
    error: Failure | None = None


class Placements(BaseModel):
    """What became of each blob, in the order given."""

    items: list[Placement]


class Health(BaseModel):
    """The app is alive; nothing else was looked at."""

    status: Literal["alive"] = "alive"


class ReadyAnswer(BaseModel):
    """Whether all that the app needs can be reached, and each of it by name."""

    ready: bool
    checks: list[Check]
