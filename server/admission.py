"""From a frame on the wire to a checked job, or a refusal; nothing is decoded yet."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from narrows.codec import bitstream
from narrows.codec.bitstream import Packet
from narrows.errors import PacketError
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.history import CodedFrame, History
from narrows.server.pictures import open_picture
from narrows.server.refusal import Refusal
from narrows.server.registry import Registry, ServedBundle
from narrows.server.settings import ServerSettings

Status = inference_pb2.FrameStatus


@dataclass(frozen=True, eq=False)
class Job:
    """One accepted frame. Jobs of equal `group` go through the networks together."""

    frame_id: int
    device: str  # whose it is; devices share a full server fairly
    bundle: ServedBundle
    payload: Packet | CodedFrame | Image.Image  # still compressed; CodedFrame: an inter packet
    group: tuple[Any, ...]
    tasks: frozenset[str]
    size: tuple[int, int]  # (height, width) of the preprocessed picture; zeros where not told
    received_ns: int  # monotonic clock
    deadline_ns: int | None
    answer: "asyncio.Future[inference_pb2.Result]" = field(repr=False)

    @property
    def cheaper_point(self) -> int | None:
        """The bundle's next operating point of fewer bytes; None where there is none."""
        points = {p.id: p.packet_bytes for p in self.bundle.manifest.operating_points}
        own = points.get(self.group[1], 0.0)
        fewer = {p: size for p, size in points.items() if size < own}
        return max(fewer, key=lambda p: fewer[p], default=None)

    def expired(self, now_ns: int) -> bool:
        return self.deadline_ns is not None and now_ns >= self.deadline_ns


def admit(
    frame: inference_pb2.Frame,
    received_ns: int,
    registry: Registry,
    settings: ServerSettings,
    history: History,
    device: str,
) -> Job:
    """Check a frame against limits, bundles, its stream's history and its deadline.

    Raises:
        Refusal: the frame is not served.
    """
    _check_size(frame, settings)
    bundle, payload, group = (
        _picture(frame, registry, settings)
        if frame.WhichOneof("payload") == "image"
        else _packet(frame, registry, history)
    )
    tasks = _tasks(frame, bundle)
    job = Job(
        frame.frame_id,
        device,
        bundle,
        payload,
        (*group, tasks),
        tasks,
        size=(frame.source_height, frame.source_width),
        received_ns=received_ns,
        deadline_ns=received_ns + frame.deadline_ms * 1_000_000 if frame.deadline_ms else None,
        answer=asyncio.get_running_loop().create_future(),
    )
    if job.expired(time.monotonic_ns()):
        raise Refusal(Status.DEADLINE_EXCEEDED, f"its {frame.deadline_ms} ms had passed on arrival")
    return job


def _tasks(frame: inference_pb2.Frame, bundle: ServedBundle) -> frozenset[str]:
    have = bundle.manifest.labels_of
    if unknown := set(frame.tasks) - set(have):
        names = ", ".join(have)
        raise Refusal(
            Status.UNKNOWN_TASK,
            f"no task {sorted(unknown)[0]!r}: {bundle.manifest.name} has {names}",
        )
    return frozenset(frame.tasks or have)


def _check_size(frame: inference_pb2.Frame, settings: ServerSettings) -> None:
    size = len(frame.packet) + len(frame.image)
    if size > settings.max_frame_bytes:
        raise Refusal(
            Status.TOO_LARGE, f"{size} bytes; this server accepts {settings.max_frame_bytes}"
        )


def _packet(
    frame: inference_pb2.Frame, registry: Registry, history: History
) -> tuple[ServedBundle, Packet | CodedFrame, tuple[Any, ...]]:
    try:
        packet = bitstream.parse(frame.packet)
        header = packet.header
        bundle = registry.of_packet(frame.bundle, header.digest_prefix)
        bundle.codec.check(header)
        coded = history.add(frame.frame_id, bundle.codec, packet)
    except PacketError as error:
        raise Refusal.of(error) from None
    group = (bundle.manifest.digest, header.point, header.height, header.width)
    return bundle, packet if header.reference is None else coded, group


def _picture(
    frame: inference_pb2.Frame, registry: Registry, settings: ServerSettings
) -> tuple[ServedBundle, Image.Image, tuple[Any, ...]]:
    bundle = registry.named(frame.bundle)
    picture = open_picture(frame.image, bundle.manifest.input, settings.max_picture_pixels)
    return bundle, picture, (bundle.manifest.digest, "picture", *picture.size)
