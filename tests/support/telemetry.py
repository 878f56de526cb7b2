"""The telemetry that a configured OpenTelemetry would export during a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler

# Since the last read, not since the start of the process.
_DELTA: dict[type, AggregationTemporality] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
}


class Telemetry:
    """The SDK of this process, which can be set up only once; records while a test needs it."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._sampler = _WhenRecording()
        provider = TracerProvider(sampler=self._sampler)
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        trace.set_tracer_provider(provider)
        self._figures = InMemoryMetricReader(preferred_temporality=_DELTA)
        metrics.set_meter_provider(MeterProvider([self._figures]))

    @contextmanager
    def recording(self) -> Iterator["Telemetry"]:
        """Record from here on; delete the spans at the end."""
        self.figures()
        self._sampler.on = True
        try:
            yield self
        finally:
            self._sampler.on = False
            self._spans.clear()

    @property
    def spans(self) -> list[ReadableSpan]:
        """The ended spans, in the order in which they began."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    def figures(self) -> dict[str, dict[tuple[str, ...], Any]]:
        """The metrics since the last call: by name, points by the values of their attributes."""
        data: Any = self._figures.get_metrics_data()
        return {
            metric.name: {tuple(map(str, (p.attributes or {}).values())): p for p in points}
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if (points := list(metric.data.data_points))
        }


class _WhenRecording(Sampler):
    def __init__(self) -> None:
        self.on = False

    def should_sample(self, *parts: Any, **more: Any) -> Any:
        sampler = ParentBased(ALWAYS_ON) if self.on else ALWAYS_OFF
        return sampler.should_sample(*parts, **more)

    def get_description(self) -> str:
        return "while a test records"


@cache
def telemetry_of_this_process() -> Telemetry:
    """The only one of this process."""
    return Telemetry()
