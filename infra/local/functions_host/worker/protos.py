"""Plain stand-ins for the protobuf messages of the Functions worker protocol.

``azure_functions_runtime`` is written against a module of generated messages that Azure's worker
process hands to it; it reads attributes and calls constructors, nothing more. This module is that
module here. Names are the protocol's own, hence the odd capitals.
"""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any, ClassVar


class TypedData:
    """A value of exactly one kind, or of none: ``TypedData(json="1")``, read as ``data.json``."""

    def __init__(self, **value: Any) -> None:
        self.kind: str | None
        self.value: Any
        self.kind, self.value = next(iter(value.items()), (None, None))

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 (a name of protobuf)
        """The kind that is set."""
        return self.kind

    def __getattr__(self, name: str) -> Any:
        if name == self.__dict__.get("kind"):
            return self.value
        raise AttributeError(name)


@dataclass(frozen=True)
class ParameterBinding:
    """A named value, for an argument or an output binding."""

    name: str
    data: TypedData | None

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 (a name of protobuf)
        """Always the value itself: shared memory is not used here."""
        return "data"


class BindingInfo(SimpleNamespace):
    """A binding as indexed, and the protocol's constants for directions and types."""

    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2
    undefined: ClassVar[int] = 0


@dataclass(frozen=True)
class RpcException:
    """An exception as text: ``Type: message``, and its stack."""

    message: str
    stack_trace: str


@dataclass(frozen=True)
class StatusResult:
    """Whether a request went well, and the exception if not."""

    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    status: int
    exception: RpcException | None = None


@dataclass(frozen=True)
class WorkerInitResponse:
    """The app has been indexed, or could not be."""

    result: StatusResult
    capabilities: dict[str, str]
    worker_metadata: Any


@dataclass(frozen=True)
class InvocationResponse:
    """How an invocation ended."""

    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: list[ParameterBinding] = field(default_factory=list)


@dataclass(frozen=True)
class RpcHttp:
    """An HTTP request, or a response: the fields of the other stay empty."""

    headers: dict[str, str]
    body: TypedData
    method: str = ""
    url: str = ""
    params: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    status_code: str = ""
    cookies: list["RpcHttpCookie"] | None = None
    enable_content_negotiation: bool = False


@dataclass(frozen=True)
class Nullable:
    """A value that may be left out altogether."""

    value: Any


NullableString = NullableBool = NullableDouble = NullableTimestamp = Nullable


@dataclass(frozen=True)
class RpcHttpCookie:
    """A cookie that a response sets."""

    SameSite: ClassVar[Any] = SimpleNamespace(
        **{"None": "", "Lax": "Lax", "Strict": "Strict", "ExplicitNone": "None"}
    )
    name: str
    value: str
    domain: Nullable | None = None
    path: Nullable | None = None
    expires: Nullable | None = None
    secure: Nullable | None = None
    http_only: Nullable | None = None
    same_site: str = ""
    max_age: Nullable | None = None

    def header(self) -> str:
        """The cookie as the value of a ``Set-Cookie`` header."""
        cookie: SimpleCookie = SimpleCookie()
        cookie[self.name] = self.value
        attributes = {
            "domain": self.domain and self.domain.value,
            "path": self.path and self.path.value,
            "expires": self.expires
            and self.expires.value.ToDatetime().strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "secure": "true" if self.secure and self.secure.value else None,
            "httponly": "true" if self.http_only and self.http_only.value else None,
            "samesite": self.same_site,
            "max-age": self.max_age and int(self.max_age.value),
        }
        # A lifetime of zero seconds ends a cookie: it is not the same as none given.
        cookie[self.name].update(
            {name: str(value) for name, value in attributes.items() if value not in {None, ""}}
        )
        return cookie[self.name].OutputString()


class Message(SimpleNamespace):
    """Any message whose fields only the other side reads."""


WorkerMetadata = RpcFunctionMetadata = RpcRetryOptions = FunctionMetadataResponse = Message
