"""Error responses of the service: status, Graph error code, message and headers."""

from collections.abc import Mapping

from infra.local.outlook.protocol.messages import Response, json_response


class GraphError(Exception):
    """An error in Graph's format, `{"error": {"code", "message"}}`, with its status."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        """The error as a response."""
        error = {"code": self.code, "message": self.message}
        return json_response(self.status, {"error": error}, self.headers)


def bad_request(message: str, code: str = "ErrorInvalidRequest") -> GraphError:
    """400: the request is invalid."""
    return GraphError(400, code, message)


def unknown_property(name: str, of_type: str) -> GraphError:
    """400 `RequestBodyRead`: a property that the type does not have."""
    message = (
        f"The property '{name}' does not exist on type '{of_type}'. Make sure to only use "
        "property names that are defined by the type."
    )
    return bad_request(message, "RequestBodyRead")


def not_convertible(name: str, expected: str) -> GraphError:
    """400 `RequestBodyRead`: a property's value has another type."""
    message = f"Cannot convert the value of '{name}' to the expected type '{expected}'."
    return bad_request(message, "RequestBodyRead")


def unknown_segment(segment: str) -> GraphError:
    """400: no such path, or an action that this national cloud does not have."""
    return bad_request(f"Resource not found for the segment '{segment}'.", "BadRequest")


def item_not_found() -> GraphError:
    """404: no such item, attachment or upload session."""
    message = "The specified object was not found in the store."
    return GraphError(404, "ErrorItemNotFound", message)


def throttling_error(limit: str, retry_after: int) -> GraphError:
    """429: `limit` is its name in Exchange, `retry_after` is in whole seconds."""
    message = f"Application is over its {limit} limit."
    return GraphError(429, "ApplicationThrottled", message, {"Retry-After": str(retry_after)})


def invalid_content_range(status: int, message: str) -> GraphError:
    """400 or 416: the range is malformed, or is not the one expected."""
    return GraphError(status, "InvalidContentRange", message)
