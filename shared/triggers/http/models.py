"""Bodies and queries of the HTTP API that no other part of the app uses."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.errors import FieldFault, InvalidRequest
from shared.transfer.addressing import MAILBOX_LENGTH
from shared.transfer.payloads import Failure, State
from shared.transfer.service.list_transfers import MAX_LISTED, TransferQuery
from shared.transfer.service.readiness import Check
from shared.validation import field_faults

# Any other year is a mistake.
_FIRST_YEAR, _LAST_YEAR = 2000, 9000
# Parameters of the Functions host's own: the function key and its name.
_KEYS = frozenset({"code", "clientId"})


class ListQuery(BaseModel):
    """The query of a list of transfers. Other parameters are refused, but for the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: datetime | None = None
    state: Annotated[list[State], Field(max_length=len(get_args(State)))] = []
    mailbox: Annotated[str, Field(min_length=1, max_length=MAILBOX_LENGTH)] | None = None
    blob: Annotated[str, Field(min_length=1, max_length=1_024)] | None = None
    q: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    top: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 50
    cursor: Annotated[str, Field(min_length=1, max_length=1_024)] | None = None

    @field_validator("since")
    @classmethod
    def _in_utc(cls, time: datetime | None) -> datetime | None:
        if time and not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            raise ValueError(f"should be between the years {_FIRST_YEAR} and {_LAST_YEAR}")
        return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time

    @classmethod
    def read(cls, url: str) -> Self:
        """The query of a request's URL: the host joins values that are given several times.

        Raises :class:`InvalidRequest`, with every fault at once.
        """
        given: dict[str, list[str]] = {}
        for name, value in parse_qsl(urlsplit(url).query):
            if name not in _KEYS:
                given.setdefault(name, []).append(value)
        repeated = [name for name, found in given.items() if len(found) > 1 and name != "state"]
        faults = [FieldFault(name, "is given twice; keep one of them") for name in repeated]
        values = {name: found if name == "state" else found[0] for name, found in given.items()}
        try:
            query = cls.model_validate(values)
        except ValidationError as error:
            faults = [*map(_of_parameter, field_faults(error)), *faults]
        if faults:
            raise InvalidRequest(faults)
        return query

    @property
    def wanted(self) -> TransferQuery:
        """The query as the service takes it."""
        return TransferQuery(
            since=self.since,
            states=tuple(self.state),
            mailbox=self.mailbox,
            blob=self.blob,
            q=self.q,
            top=self.top,
            cursor=self.cursor,
        )


def _of_parameter(fault: FieldFault) -> FieldFault:
    """The fault by the parameter's name, without the number of a value."""
    if fault.message == "unknown field":
        return FieldFault(fault.field, f"unknown parameter; there are {', '.join(PARAMETERS)}")
    return FieldFault(fault.field.partition(".")[0], fault.message)


PARAMETERS = tuple(ListQuery.model_fields)


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
