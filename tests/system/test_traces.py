"""A frame's spans at a collector, from a device's and a server's processes."""

import json
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from PIL import Image
from serving import serving

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="needs the trace extra")
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FRAMES = 12
DEVICE_STAGES = {"encode", "wait", "send", "reply"}
SERVER_STAGES = {"queue", "decode", "tail", "reply"}


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it gets: (service's name, span)."""

    def __init__(self):
        self.spans = []

    def Export(self, request, context):
        for told in request.resource_spans:
            named = {a.key: a.value.string_value for a in told.resource.attributes}
            for scope in told.scope_spans:
                self.spans += [(named["service.name"], span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collecting(monkeypatch):
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    try:
        yield collector
    finally:
        server.stop(None)


def device(address, bundle, folder, *options):
    """`narrows edge` sends FRAMES pictures; its records."""
    command = [sys.executable, "-m", "narrows", "edge", "-", "--server", address, "--json"]
    told = subprocess.run(
        [*command, "--bundle", str(bundle), *options], text=True, check=True,
        input=f"{folder / 'red.png'}\n" * FRAMES, stdout=subprocess.PIPE,
    )  # fmt: skip
    return [json.loads(line) for line in told.stdout.splitlines()][:-1]


@pytest.fixture
def pictures(tmp_path):
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    return tmp_path


def attribute(span, name):
    value = next(a.value for a in span.attributes if a.key == name)
    return getattr(value, value.WhichOneof("value"))


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_frame_is_one_trace_from_device_to_server(tiny_bundle, pictures, monkeypatch, executor):
    with collecting(monkeypatch) as collector:
        with serving(tiny_bundle, "--executor", executor) as (_, address):
            records = device(address, tiny_bundle, pictures)
    assert {r["status"] for r in records} == {"OK"}
    traces = defaultdict(list)
    for service, span in collector.spans:
        traces[span.trace_id].append((service, span))
    assert len(traces) == FRAMES
    for found in traces.values():
        spans = {span.span_id: span for _, span in found}
        (root,) = (span for _, span in found if not span.parent_span_id)
        (serve,) = (span for _, span in found if span.name == "serve")
        assert root.name == "frame"
        assert serve.parent_span_id == root.span_id
        assert attribute(serve, "narrows.frame_id") == attribute(root, "narrows.frame_id")
        stages = defaultdict(set)
        for service, span in found:
            stages[service, span.parent_span_id].add(span.name)
        assert stages["narrows-edge", root.span_id] == DEVICE_STAGES
        assert stages["narrows-server", serve.span_id] == SERVER_STAGES
        for _, span in found:  # both clocks are this machine's
            assert span.start_time_unix_nano <= span.end_time_unix_nano
            if parent := spans.get(span.parent_span_id):
                slack_ns = 0 if span is not serve else 5_000_000  # clocks are read apart
                assert parent.start_time_unix_nano <= span.start_time_unix_nano + slack_ns
                assert span.end_time_unix_nano <= parent.end_time_unix_nano + slack_ns
        parts = [s for _, s in found if s.parent_span_id == serve.span_id]
        whole = serve.end_time_unix_nano - serve.start_time_unix_nano
        assert sum(s.end_time_unix_nano - s.start_time_unix_nano for s in parts) == whole


def test_a_traced_frame_is_57_bytes_longer_and_a_collector_that_is_gone_costs_no_answer(
    tiny_bundle, pictures, monkeypatch
):
    with collecting(monkeypatch):
        pass  # nobody listens there any more
    with serving(tiny_bundle) as (_, address):
        traced = device(address, tiny_bundle, pictures)
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
        plain = device(address, tiny_bundle, pictures)
    assert {r["status"] for r in (*traced, *plain)} == {"OK"}
    added = {t["message_bytes"] - p["message_bytes"] for t, p in zip(traced, plain, strict=True)}
    assert added == {57}


def test_a_refused_frame_s_spans_say_why(tiny_bundle, pictures, monkeypatch):
    with collecting(monkeypatch) as collector:
        with serving(tiny_bundle, "--max-frame-bytes", "64") as (_, address):
            device(address, tiny_bundle, pictures, "--upload", "jpeg:90")
    found = [
        (service, span) for service, span in collector.spans if span.name in ("frame", "serve")
    ]
    assert len(found) == 2 * FRAMES
    for _, span in found:
        assert span.status.code == span.status.STATUS_CODE_ERROR
        assert span.status.message.startswith("TOO_LARGE: ")
        assert attribute(span, "narrows.status") == "TOO_LARGE"
