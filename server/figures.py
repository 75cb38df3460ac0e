"""What a replica counts, in Prometheus' terms: frames, bytes, stages, batches, devices."""

import os
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.admission import Job
from narrows.server.samples import STAGES, Sample

SECONDS = tuple(m * 10.0**e for e in range(-4, 1) for m in (1, 2.5, 5))  # 0.1 ms to 5 s
FRAMES = (1, 2, 4, 8, 16, 32, 64)
BYTES = (64, 128, 256, 512, 1024, 2048, 4096, 16384, 65536, 262144, 1048576)


class Figures:
    """One replica's counters, in a registry of their own: a process may hold several."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._children: dict[tuple[int, tuple[str, ...]], Any] = {}
        self._frames = Counter(
            "narrows_frames", "Frames by what became of them",
            ("bundle", "point", "tasks", "status"), registry=registry,
        )  # fmt: skip
        self._device = Counter(
            "narrows_device_frames", "Frames of a device", ("device", "status"), registry=registry
        )
        self._device_bytes = Counter(
            "narrows_device_bytes", "Packets' and pictures' bytes", ("device",), registry=registry
        )
        self._seen = Gauge(
            "narrows_device_last_frame_timestamp_seconds",
            "When a frame of the device last had its result", ("device",), registry=registry,
        )  # fmt: skip
        self._bytes = Histogram(
            "narrows_packet_bytes", "A packet or picture", ("bundle", "point"),
            registry=registry, buckets=BYTES,
        )  # fmt: skip
        stage = Histogram(
            "narrows_stage_seconds", "Where a frame's time goes on the server", ("stage",),
            registry=registry, buckets=SECONDS,
        )  # fmt: skip
        self._stages = [stage.labels(name) for name in STAGES]
        self._batch = Histogram(
            "narrows_batch_frames", "Frames that went through the tail together",
            registry=registry, buckets=FRAMES,
        )  # fmt: skip
        self.streams = Gauge("narrows_streams", "Open streams", registry=registry)
        self.waiting = Gauge("narrows_waiting_frames", "Frames in the queue", registry=registry)
        memory = Gauge("narrows_resident_bytes", "Memory of the process", registry=registry)
        memory.set_function(_resident_bytes)

    def count(
        self,
        device: str,
        frame: inference_pb2.Frame,
        job: Job | None,
        result: inference_pb2.Result,
    ) -> None:
        """One frame that has its result; `job` is None where it was refused on arrival."""
        ok = result.status.code == inference_pb2.FrameStatus.OK
        status = inference_pb2.FrameStatus.Code.Name(result.status.code)
        size = len(frame.packet) + len(frame.image)
        self._of(self._device, device, status).inc()
        self._of(self._device_bytes, device).inc(size)
        self._of(self._seen, device).set(time.time())
        if job is None:
            self._of(self._frames, "", "", "", status).inc()
            return
        name, point = job.bundle.manifest.name, str(job.group[1])
        self._of(self._frames, name, point, ",".join(sorted(job.tasks)), status).inc()
        self._of(self._bytes, name, point).observe(size)
        if ok:
            timing = result.timing
            parts = (timing.queue_ns, timing.decode_ns, timing.tail_ns, timing.reply_ns)
            for stage, nanoseconds in zip(self._stages, parts, strict=True):
                stage.observe(nanoseconds / 1e9)
            self._batch.observe(timing.batch_size)

    def _of(self, metric: Any, *labels: str) -> Any:
        """The metric's child: Prometheus' own look-up takes as long as all the rest of a count."""
        key = (id(metric), labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def samples(self) -> list[Sample]:
        """Everything as it stands now."""
        return [
            (sample.name, dict(sample.labels), sample.value)
            for family in self.registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]


def _resident_bytes() -> float:
    try:
        with open("/proc/self/statm") as file:
            return float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        return 0.0
