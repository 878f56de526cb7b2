"""Telemetry of the requests to Graph and to upload sessions: a span for each, and counters.

Uses OpenTelemetry's API only: nothing is recorded or sent unless its SDK is configured, as the
Functions worker does in Azure. A span has the method and the host but never a URL: an upload URL
is a credential, and Graph's paths contain people's mailboxes.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Protocol
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.trace import Span, SpanKind, StatusCode

from shared.outlook.graph_response import GraphResponse, ResponseRules

SCOPE = "blob_to_outlook"
TRACER = trace.get_tracer(SCOPE)
METER = metrics.get_meter(SCOPE)

BYTES = METER.create_counter("blob_to_outlook.bytes", "By", "bytes of files that Outlook accepted")
RANGES = METER.create_counter("blob_to_outlook.ranges", "{range}", "ranges that Outlook accepted")
RESYNCHRONISATIONS = METER.create_counter(
    "blob_to_outlook.resynchronisations", "{call}", "requests for the state of an upload session"
)
THROTTLED = METER.create_counter("blob_to_outlook.throttled", "{response}", "throttled requests")


class HasResponseRules(Protocol):
    """A client that has rules for responses."""

    @property
    def rules(self) -> ResponseRules:
        """The statuses that count as throttled."""


def traced_call[Owner: HasResponseRules, **Rest](
    send: Callable[Concatenate[Owner, str, str, Rest], GraphResponse],
) -> Callable[Concatenate[Owner, str, str, Rest], GraphResponse]:
    """Decorate a method that sends one request, given its method and URL, with a span."""

    @wraps(send)
    def call(
        owner: Owner, method: str, url: str, /, *rest: Rest.args, **more: Rest.kwargs
    ) -> GraphResponse:
        target = urlsplit(url)
        host = target.hostname or ""
        # The HTTP library's own instrumentation would record the whole URL.
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
            response = send(owner, method, url, *rest, **more)
            if response.status in owner.rules.throttled:
                THROTTLED.add(1)
            _set_result(span, response)
        return response

    return call


def _set_result(span: Span, response: GraphResponse) -> None:
    if response.status is not None:
        span.set_attribute("http.response.status_code", response.status)
    if response.succeeded:
        return
    span.set_status(StatusCode.ERROR)
    kind = response.no_response.name if response.no_response else str(response.status)
    span.set_attribute("error.type", kind)
    if response.request_id:
        span.set_attribute("request_id", response.request_id)
