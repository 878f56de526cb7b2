"""Plain classes in place of the protobuf messages of the Functions worker protocol.

Azure's worker passes ``azure_functions_runtime`` a module of generated messages, of which it only
reads attributes and calls constructors. Here it gets this module. Names are those of the protocol.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar


class TypedData:
    """A value of at most one kind: ``TypedData(json="1")`` is read as ``data.json``."""

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
        """Always the value: this host has no shared memory."""
        return "data"


class BindingInfo(SimpleNamespace):
    """An indexed binding, and the protocol's constants for directions and types."""

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
    """Whether a request succeeded, and the exception if not."""

    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    status: int
    exception: RpcException | None = None


@dataclass(frozen=True)
class WorkerInitResponse:
    """Whether the app could be indexed."""

    result: StatusResult
    capabilities: dict[str, str]
    worker_metadata: Any


@dataclass(frozen=True)
class InvocationResponse:
    """The result of an invocation."""

    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: list[ParameterBinding] = field(default_factory=list)


@dataclass(frozen=True)
class RpcHttp:
    """An HTTP request or response; the fields of the other stay empty.

    ``cookies`` is always empty: in this host a function that sets a cookie fails.
    """

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
    """A message whose fields this host does not define."""


WorkerMetadata = RpcFunctionMetadata = RpcRetryOptions = FunctionMetadataResponse = Message
