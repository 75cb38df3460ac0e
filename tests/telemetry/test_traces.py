"""When spans are made, and that nobody pays for them otherwise."""

import subprocess
import sys

import pytest

from narrows.errors import ConfigError
from narrows.telemetry.traces import open_traces

VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_SAMPLER",
)


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def traces(monkeypatch):
    pytest.importorskip("opentelemetry.sdk", reason="needs the trace extra")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    return open_traces("tests")


def test_nothing_is_traced_unless_an_exporter_is_named(monkeypatch):
    assert open_traces("tests") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert open_traces("tests") is None
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert open_traces("tests") is None


def test_an_exporter_that_is_not_here_is_an_error(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(ConfigError, match="zipkin: expected otlp"):
        open_traces("tests")


def test_a_device_without_opentelemetry_warns_and_goes_on(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    assert open_traces("tests") is None
    assert "pip install 'narrows[trace]'" in caplog.text


def test_a_device_that_does_not_trace_imports_no_opentelemetry():
    code = (
        "import sys, narrows.edge.device, narrows.edge.session, narrows.cli._edge_run\n"
        "from narrows.telemetry.traces import open_traces\n"
        "assert open_traces('tests') is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "bad", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é" * 99]
)
def test_what_is_no_context_has_no_span(traces, bad):
    assert traces.join(bad, "serve", 0) is None


def test_a_context_is_what_the_other_side_joins(traces):
    span = traces.begin("frame", 0)
    version, trace_id, span_id, flags = span.traceparent.split("-")
    assert (version, len(trace_id), len(span_id), flags) == ("00", 32, 16, flags)
    assert int(flags, 16) & 1  # sampled
    assert traces.join(span.traceparent, "serve", 0).traceparent.split("-")[1] == trace_id


def test_a_frame_that_is_not_sampled_costs_no_byte(monkeypatch):
    pytest.importorskip("opentelemetry.sdk", reason="needs the trace extra")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert open_traces("tests").begin("frame", 0).traceparent == ""
