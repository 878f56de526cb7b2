"""Plain stand-ins for the protobuf messages of the Functions worker protocol.

``azure_functions_runtime`` is written against a module of generated messages that Azure's worker
process hands to it; it reads attributes and calls constructors, nothing more. This module is that
module here. Names are the protocol's own, hence the odd capitals.
"""

from dataclasses import dataclass, field
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
    cookies: object = None
    enable_content_negotiation: bool = False


class Message(SimpleNamespace):
    """Any message whose fields only the other side reads."""


WorkerMetadata = RpcFunctionMetadata = RpcRetryOptions = FunctionMetadataResponse = Message
