"""Spans of frames for an OpenTelemetry collector, on both sides of the link.

A frame is one trace: the device opens a span and sends its context along (W3C traceparent), the
server hangs its own span below. Nothing is measured for it: spans are made of a frame's stamps
once it is done. On when OpenTelemetry's own variables name an exporter; opentelemetry is imported
only then, since a device does without.
"""

import logging
import os
import sys
from collections.abc import Mapping
from time import monotonic_ns, time_ns
from typing import Any

from narrows.errors import ConfigError

log = logging.getLogger(__name__)
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
FLUSH_MS = 5_000
TRACEPARENT = "traceparent"  # W3C Trace Context, section 3.2
Attributes = Mapping[str, str | int | float]


def open_traces(service: str) -> "Traces | None":
    """Where spans go, by OpenTelemetry's variables; None where they name no exporter.

    `service` is the service's name unless OTEL_SERVICE_NAME is set. Without the packages of the
    `trace` extra a warning says so, and nothing is traced.

    Raises:
        ConfigError: OTEL_TRACES_EXPORTER names one that is not here.
    """
    wanted = _wanted()
    if wanted is None:
        return None
    try:
        return Traces(service, wanted)
    except ModuleNotFoundError as error:
        log.warning("no traces: %s: `pip install 'narrows[trace]'` brings what is missing", error)
        return None


def _wanted() -> str | None:
    """otlp, console, or None."""
    by_endpoint = "otlp" if any(os.environ.get(name) for name in ENDPOINTS) else "none"
    wanted = os.environ.get(EXPORTER) or by_endpoint
    if wanted not in ("otlp", "console", "none"):
        raise ConfigError(f"{EXPORTER}={wanted}: expected otlp (by gRPC), console or none")
    if wanted == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    return wanted


class Traces:
    """Opens spans. What is done with them, sampled or sent in batches, is OpenTelemetry's."""

    def __init__(self, service: str, exporter: str):
        """`exporter`: otlp, or console: JSON on stderr. Raises ModuleNotFoundError."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
        self._tracer = self._provider.get_tracer("narrows")

    def begin(self, name: str, started_ns: int) -> "OpenSpan":
        """A device's span, the root of its trace; `started_ns` of the monotonic clock."""
        from opentelemetry.trace import SpanKind

        return OpenSpan(self._tracer, name, started_ns, None, SpanKind.CLIENT)

    def join(self, traceparent: str, name: str, started_ns: int) -> "OpenSpan | None":
        """A server's span below the one of that context; None for what is no context."""
        from opentelemetry.trace import SpanKind, get_current_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({TRACEPARENT: traceparent})
        if not get_current_span(parent).get_span_context().is_valid:
            return None
        return OpenSpan(self._tracer, name, started_ns, parent, SpanKind.SERVER)

    def flush(self) -> None:
        """Send what has ended, for at most five seconds. Blocks."""
        self._provider.force_flush(FLUSH_MS)


class OpenSpan:
    """One frame's span on one side. All instants are of that side's monotonic clock, in ns."""

    def __init__(self, tracer: Any, name: str, started_ns: int, parent: Any, kind: Any):
        from opentelemetry.trace import set_span_in_context

        self._tracer = tracer
        self._epoch_ns = _epoch_ns()  # one for all its parts: they nest exactly
        self._span = tracer.start_span(name, parent, kind, start_time=self._epoch_ns + started_ns)
        self._inside = set_span_in_context(self._span)

    @property
    def traceparent(self) -> str:
        """Its context for the other side; empty where the sampler left this frame out."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if not self._span.is_recording():
            return ""
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, self._inside)
        return carrier[TRACEPARENT]

    def part(self, name: str, started_ns: int, ended_ns: int) -> None:
        """A span within, over and done."""
        part = self._tracer.start_span(name, self._inside, start_time=self._epoch_ns + started_ns)
        part.end(self._epoch_ns + ended_ns)

    def end(self, ended_ns: int, attributes: Attributes, error: str = "") -> None:
        """Over; `error` says why the frame has no answer, and is empty where it has."""
        from opentelemetry.trace import StatusCode

        self._span.set_attributes(attributes)
        if error:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end(self._epoch_ns + ended_ns)


def _epoch_ns() -> int:
    """When the monotonic clock began, by the wall's: the reading that was interrupted least."""

    def reading() -> tuple[int, int]:
        before_ns, now_ns, after_ns = monotonic_ns(), time_ns(), monotonic_ns()
        return after_ns - before_ns, now_ns - (before_ns + after_ns) // 2

    return min(reading() for _ in range(3))[1]


def _exporter(name: str) -> Any:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
