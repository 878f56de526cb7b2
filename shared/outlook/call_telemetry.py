"""What can be seen of the calls to Graph and to upload sessions: a span for each, and counts.

By OpenTelemetry's API alone: nothing is recorded or sent unless somebody has configured its SDK,
as the Functions worker does in Azure. A span names method and host and never a URL: an upload URL
is a credential, and Graph's paths name people's mailboxes.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.trace import Span, SpanKind, StatusCode

from shared.outlook.graph_response import GraphResponse

SCOPE = "blob_to_outlook"
TRACER = trace.get_tracer(SCOPE)
METER = metrics.get_meter(SCOPE)

BYTES = METER.create_counter("blob_to_outlook.bytes", "By", "bytes of files that Outlook took")
RANGES = METER.create_counter("blob_to_outlook.ranges", "{range}", "ranges that Outlook took")
RESYNCHRONISATIONS = METER.create_counter(
    "blob_to_outlook.resynchronisations", "{call}", "upload sessions asked where they stand"
)
THROTTLED = METER.create_counter(
    "blob_to_outlook.throttled", "{answer}", "answers that said: not now"
)

_NOT_NOW = frozenset({429, 503, 509})


def traced_call[Owner, **Rest](
    send: Callable[Concatenate[Owner, str, str, Rest], GraphResponse],
) -> Callable[Concatenate[Owner, str, str, Rest], GraphResponse]:
    """Put a span around what sends one request, given its method and URL."""

    @wraps(send)
    def call(
        owner: Owner, method: str, url: str, /, *rest: Rest.args, **more: Rest.kwargs
    ) -> GraphResponse:
        target = urlsplit(url)
        host = target.hostname or ""
        # Tracing of the HTTP library would keep the whole URL.
        with (
            suppress_http_instrumentation(),
            TRACER.start_as_current_span(
                f"{method} {host}",
                kind=SpanKind.CLIENT,
                attributes={
                    "http.request.method": method,
                    "url.scheme": target.scheme,
                    "server.address": host,
                    "server.port": target.port or 443,
                },
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
        ):
            answer = send(owner, method, url, *rest, **more)
            _set_result(span, answer)
        return answer

    return call


def _set_result(span: Span, answer: GraphResponse) -> None:
    if answer.status in _NOT_NOW:
        THROTTLED.add(1)
    if answer.status is not None:
        span.set_attribute("http.response.status_code", answer.status)
    if answer.succeeded:
        return
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", str(answer.lost.name if answer.lost else answer.status))
    if answer.request_id:
        span.set_attribute("request_id", answer.request_id)
