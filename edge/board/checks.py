"""Is this board fit to be a device: processor, clock, camera, sensors, heat, certificate, link."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import grpc
from cryptography import x509

from narrows.codec.manifest import INT8_LAYERS, Manifest
from narrows.edge.board.check import Check
from narrows.edge.board.heat import HeatPlaces, read_heat
from narrows.edge.energy.discover import Places, open_sensor
from narrows.edge.head import fastest_head
from narrows.edge.link import LinkSettings, addresses_of, open_channel
from narrows.errors import NarrowsError
from narrows.kernels.head import UnknownLayer
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc

RENEW_DAYS = 1.0
PING_S = 5.0


@dataclass(frozen=True)
class Board:
    """Where things are looked for: this machine's, by default."""

    devices: Path = Path("/dev")
    synchronised: Path = Path("/run/systemd/timesync/synchronized")
    controllers: Path = Path("/sys/fs/cgroup/cgroup.controllers")
    heat: HeatPlaces = field(default_factory=HeatPlaces)
    places: Places = field(default_factory=Places)


def check_board(board: Board) -> list[Check]:
    """What needs no server."""
    checks = [_kernels(), _clock(board), _camera(board), _sensor(board)]
    return [*checks, *_memory_cap(board), *check_heat(board.heat)]


def check_heat(places: HeatPlaces) -> list[Check]:
    """Temperature and throttling, where the board tells of them."""
    heat, checks = read_heat(places), list[Check]()
    if heat is None:
        return checks
    if heat.celsius is not None:
        fine = heat.celsius < heat.limit_c
        advice = "" if fine else f"over {heat.limit_c:.0f} C it slows down: a heat sink or a fan"
        checks.append(Check("temperature", f"{heat.celsius:.0f} C", fine, False, advice))
    if (heat.firmware, heat.cooling) != (None, None):
        now, past = ", ".join(heat.held_back), ", ".join(heat.earlier)
        found, fine = now or (f"earlier: {past}" if past else "no"), not now + past
        advice = "" if fine else "a stronger power supply, or cooling"
        checks.append(Check("throttled", found, fine, False, advice))
    return checks


def check_identity(folder: Path, now: datetime | None = None) -> Check:
    """The certificate: for how long it is valid, from `now` on."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / "device.crt").read_bytes())
    except (OSError, ValueError) as error:
        return Check("certificate", f"{folder}: {error}", False, True, "narrows pki enroll")
    now = now or datetime.now(timezone.utc)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    days = (ends - now).total_seconds() / 86_400
    if now < begins:
        advice = "it is not valid yet: this board's clock is behind"
        return Check("certificate", f"from {begins:%F %H:%M}", False, True, advice)
    if days < 0:
        return Check("certificate", f"expired {ends:%F %H:%M}", False, True, "enroll it anew")
    advice = "enroll it anew soon" if days < RENEW_DAYS else ""
    return Check("certificate", f"{days:.1f} days left", not advice, False, advice)


def check_bundle(folder: Path) -> Check:
    """Whether every file of the device's part is what the manifest says."""
    try:
        manifest = Manifest.load(folder)
        manifest.verify_files(folder)
    except NarrowsError as error:
        return Check("bundle", str(error), False, True, "fetch it anew: `narrows edge` does")
    return Check("bundle", f"{manifest.name} {manifest.digest[:8]}", True, True)


def check_head(folder: Path) -> Check:
    """Where `auto` runs a bundle's head, and why: a GPU is measured beside the processor."""
    try:
        manifest = Manifest.load(folder)
        if INT8_LAYERS not in manifest.head:
            return Check("head", "not int8: on the CPU", True, False)
        choice = fastest_head(folder, manifest)
    except (NarrowsError, UnknownLayer) as error:
        return Check("head", str(error), False, False)
    advice = "" if choice.sound else "the GPU is not used: see docs/cuda.md"
    return Check("head", f"int8 by {choice.where}: {choice.why}", choice.sound, False, advice)


def check_link(servers: str, tls: Path | None) -> list[Check]:
    """Every address: whether it answers, how fast, and how busy it is."""
    return [asyncio.run(_answers(address, tls)) for address in addresses_of(servers)]


async def _answers(address: str, tls: Path | None) -> Check:
    name = f"link to {address}"
    try:
        async with open_channel(address, LinkSettings(tls=tls)) as channel:
            stub = inference_pb2_grpc.InferenceStub(channel)
            await stub.Ping(inference_pb2.PingRequest(), timeout=PING_S)  # connects
            began = time.monotonic()
            reply = await stub.Ping(inference_pb2.PingRequest(), timeout=PING_S)
    except grpc.aio.AioRpcError as error:
        advice = "is the server up, is its port let through, is the certificate of its fleet?"
        return Check(name, error.details() or error.code().name, False, True, advice)
    except NarrowsError as error:
        return Check(name, str(error), False, True)
    round_ms = 1e3 * (time.monotonic() - began)
    return Check(name, f"{round_ms:.1f} ms there and back, {reply.streams} streams", True, True)


def _kernels() -> Check:
    from narrows.kernels import coder

    native = coder.BACKEND == "native"
    advice = "" if native else "a hundred times slower: install a C++20 compiler and reinstall"
    return Check("kernels", coder.instruction_set(), native, True, advice)


def _clock(board: Board) -> Check:
    now = f"{datetime.now(timezone.utc):%F %H:%M} UTC"
    known = board.synchronised.exists()
    advice = "" if known else "not known to be right: certificates need that: systemd-timesyncd"
    return Check("clock", now, known, False, advice)


def _camera(board: Board) -> Check:
    found = sorted(path.name for path in board.devices.glob("video*"))
    advice = "" if found else "none by V4L2: pictures, folders and streams work"
    return Check("camera", ", ".join(found) or "none", bool(found), False, advice)


def _sensor(board: Board) -> Check:
    with open_sensor("auto", board.places) as found:
        about = found.sensor.about
    advice = "; ".join(f"{name}: {why}" for name, why in found.without.items())
    advice = f"energy is a model's: {advice}" if about.is_model else ""
    return Check("energy", about.name, not about.is_model, False, advice)


def _memory_cap(board: Board) -> list[Check]:
    """Whether a unit's MemoryMax holds, which Raspberry Pi OS starts without; [] where unknown."""
    try:
        there = "memory" in board.controllers.read_text().split()
    except OSError:
        return []
    advice = "" if there else "cgroup_enable=memory in /boot/firmware/cmdline.txt, and a restart"
    return [Check("memory cap", "holds" if there else "not kept", there, False, advice)]
