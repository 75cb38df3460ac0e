"""Every frame gets exactly one outcome, whatever the server and the link do."""

import asyncio
import binascii
import subprocess
import sys
from collections.abc import Awaitable, Callable
from time import monotonic_ns

import pytest

from narrows.edge.link import MAX_MESSAGE_BYTES, LinkSettings
from narrows.edge.outcome import CLOSED, DEADLINE, LINK, Outcome
from narrows.edge.payload import Payload
from narrows.edge.session import Session
from narrows.errors import ConfigError, LinkError
from narrows.simulations.faults import MAX_RECEIVED, Fault, FaultyServer
from narrows.simulations.links.relay import Relay
from narrows.simulations.links.spec import LinkSpec

PATIENT = LinkSettings(deadline_ms=60_000)


def payload(number: int, size: int = 300) -> Payload:
    data = number.to_bytes(4, "little") * (size // 4)
    return Payload("packet", data, 224, 224, monotonic_ns(), 0, 0, 0)


async def ask_all(session: Session, frames: int) -> list[Outcome]:
    return list(await asyncio.gather(*(session.ask(payload(n)) for n in range(frames))))


def belongs(outcome: Outcome, number: int) -> bool:
    data = payload(number).data
    label = outcome.labels[0]
    return (label.index, label.name) == (len(data), f"{binascii.crc32(data):08x}")


async def ask_a_faulty_server(fault: Fault, frames: int) -> tuple[list[Outcome], Session]:
    async with FaultyServer(fault) as server:
        async with Session(server.address, PATIENT) as session:
            return await ask_all(session, frames), session


@pytest.mark.parametrize(
    "fault",
    [
        Fault.NONE,
        Fault.TWICE,
        Fault.BACKWARDS,
        Fault.HANGS_UP,
        Fault.CLOSES,
        Fault.BUSY,
        Fault.STRANGERS,
        Fault.LIES,
    ],
)
def test_every_frame_gets_its_own_answer_once(fault: Fault) -> None:
    outcomes, _ = asyncio.run(ask_a_faulty_server(fault, 40))
    assert [o.status for o in outcomes] == ["OK"] * 40
    assert all(belongs(outcome, number) for number, outcome in enumerate(outcomes))
    assert len({o.frame_id for o in outcomes}) == 40


@pytest.mark.parametrize("fault", list(Fault))
def test_the_parts_of_a_frames_time_add_up(fault: Fault) -> None:
    async def scenario() -> list[Outcome]:
        deadline_ms = 300 if fault is Fault.SILENT else 60_000
        settings = LinkSettings(deadline_ms=deadline_ms, backoff_initial_s=0.01)
        async with FaultyServer(fault) as server:
            async with Session(server.address, settings) as session:
                return await ask_all(session, 8)

    timings = [o.timing for o in asyncio.run(scenario()) if o.timing is not None]
    assert fault is Fault.SILENT or timings
    for timing in timings:
        assert min(vars(timing).values()) >= 0
        assert timing.total <= 60e9


def test_duplicates_and_strangers_are_counted_and_dropped() -> None:
    _, session = asyncio.run(ask_a_faulty_server(Fault.STRANGERS, 10))
    assert session.strays == 10


def test_broken_streams_are_counted_and_frames_resent() -> None:
    outcomes, session = asyncio.run(ask_a_faulty_server(Fault.HANGS_UP, 40))
    assert session.reconnects >= 4
    assert session.resent == sum(o.sendings - 1 for o in outcomes) > 0


def test_a_frame_the_server_keeps_refusing_fails_with_its_reason() -> None:
    outcomes, _ = asyncio.run(ask_a_faulty_server(Fault.ALWAYS_BUSY, 2))
    assert {(o.status, o.message, o.sendings) for o in outcomes} == {
        ("OVERLOADED", "full on purpose", PATIENT.max_retries + 1)
    }


def test_a_status_of_a_later_version_is_final_and_named_by_number() -> None:
    outcomes, _ = asyncio.run(ask_a_faulty_server(Fault.NEWER, 1))
    assert outcomes[0].status == "STATUS_99"


def test_a_server_that_never_answers_costs_each_frame_its_deadline() -> None:
    async def scenario() -> list[Outcome]:
        async with FaultyServer(Fault.SILENT) as server:
            async with Session(server.address, LinkSettings(deadline_ms=200)) as session:
                return await ask_all(session, 6)

    outcomes = asyncio.run(scenario())
    assert {o.status for o in outcomes} == {DEADLINE}
    assert "within 200 ms" in outcomes[0].message


def test_a_restarted_server_gets_what_was_in_flight() -> None:
    async def scenario() -> tuple[list[Outcome], int]:
        async with FaultyServer(Fault.SILENT) as first:
            async with Session(first.address, PATIENT) as session:
                answers = asyncio.ensure_future(ask_all(session, 6))
                while sum(first.seen.values()) < PATIENT.window:
                    await asyncio.sleep(0)
                await first.stop()
                async with FaultyServer(Fault.NONE, first.port) as second:
                    return await answers, len(second.seen)

    outcomes, seen = asyncio.run(scenario())
    assert [o.status for o in outcomes] == ["OK"] * 6
    assert seen == 6


def test_a_killed_server_process_loses_no_frame() -> None:
    outcomes, pids = asyncio.run(_kill_one_process())
    assert [o.status for o in outcomes] == ["OK"] * len(outcomes)
    assert {o.answered_by for o in outcomes} == {f"faulty/{pid}" for pid in pids}


async def _kill_one_process() -> tuple[list[Outcome], list[int]]:
    first, port = await _server_process(0)
    async with Session(f"127.0.0.1:{port}", PATIENT) as session:
        outcomes = [await session.ask(payload(n)) for n in range(5)]
        later = [asyncio.ensure_future(session.ask(payload(n))) for n in range(50)]
        await later[2]
        first.kill()
        await first.wait()
        second, _ = await _server_process(port)
        outcomes += await asyncio.gather(*later)
    second.terminate()
    await second.wait()
    return outcomes, [first.pid, second.pid]


async def _server_process(port: int) -> tuple[asyncio.subprocess.Process, int]:
    command = [sys.executable, "-m", "narrows.simulations.faults", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, int(await process.stdout.readline())


async def through_a_relay(
    disturb: Callable[[Relay, Session], Awaitable[None]], settings: LinkSettings
) -> tuple[list[Outcome], Session]:
    async with FaultyServer(Fault.NONE) as server:
        async with Relay(server.address, LinkSpec.parse("10mbit,5ms")) as relay:
            async with Session(f"127.0.0.1:{relay.port}", settings) as session:
                outcomes = [await session.ask(payload(n)) for n in range(3)]
                later = asyncio.ensure_future(ask_all(session, 30))
                await disturb(relay, session)
                return outcomes + await later, session


def test_a_dropped_connection_loses_no_frame() -> None:
    async def disturb(relay: Relay, session: Session) -> None:
        for _ in range(3):
            await asyncio.sleep(0.02)
            relay.reset_connections()

    outcomes, session = asyncio.run(through_a_relay(disturb, PATIENT))
    assert [o.status for o in outcomes] == ["OK"] * 33
    assert session.reconnects >= 1


def test_a_silent_outage_is_noticed_and_survived() -> None:
    """The link stalls with its connections open; without a sign of life the old one is given up."""

    async def disturb(relay: Relay, session: Session) -> None:
        relay.cut()
        while session.connected:
            await asyncio.sleep(0.01)
        relay.restore()

    outcomes, session = asyncio.run(through_a_relay(disturb, PATIENT))
    assert [o.status for o in outcomes] == ["OK"] * 33
    assert session.reconnects >= 1


def test_a_server_that_is_gone_for_good_ends_all_frames_with_the_cause() -> None:
    async def scenario() -> tuple[list[Outcome], str, LinkError]:
        settings = LinkSettings(give_up_s=0.3, deadline_ms=60_000)
        async with FaultyServer(Fault.SILENT) as server:
            async with Session(server.address, settings) as session:
                frames = []
                for number in range(settings.window):
                    await session.room()
                    frames.append(session.send(payload(number)))
                await server.stop()
                outcomes = list(await asyncio.gather(*frames))
                with pytest.raises(LinkError) as caught:
                    await session.ask(payload(99))
                return outcomes, server.address, caught.value

    outcomes, address, error = asyncio.run(scenario())
    assert {o.status for o in outcomes} == {LINK}
    assert address in str(error)
    assert "UNAVAILABLE" in str(error)


def test_a_server_that_was_never_there_is_a_link_error() -> None:
    async def scenario() -> None:
        async with FaultyServer(Fault.NONE) as server:
            pass
        async with Session(server.address, LinkSettings(give_up_s=0.2)):
            pass

    with pytest.raises(LinkError, match=r"127.0.0.1:\d+: no server for 0.2 s"):
        asyncio.run(scenario())


def test_closing_gives_waiting_frames_an_outcome() -> None:
    async def scenario() -> Outcome:
        async with FaultyServer(Fault.SILENT) as server:
            async with Session(server.address, PATIENT) as session:
                await session.room()
                frame = session.send(payload(0))
            return await frame

    assert asyncio.run(scenario()).status == CLOSED


async def ask_another(address: str) -> None:
    """A whole connection's time."""
    async with Session(address, PATIENT):
        pass


def test_no_more_frames_are_in_flight_than_the_window() -> None:
    async def scenario() -> int:
        async with FaultyServer(Fault.SILENT) as server:
            settings = LinkSettings(window=3, deadline_ms=60_000)
            async with Session(server.address, settings) as session:
                frames = asyncio.ensure_future(ask_all(session, 9))
                while len(server.seen) < 3:
                    await asyncio.sleep(0)
                await ask_another(server.address)  # a fourth would have come before
                frames.cancel()
                return len(server.seen)

    assert asyncio.run(scenario()) == 3


@pytest.mark.parametrize("size", [MAX_RECEIVED + 4, MAX_MESSAGE_BYTES + 4])
def test_a_payload_too_large_for_a_message_fails_alone(size: int) -> None:
    """Whether it is the device that knows, or the server that breaks the stream over it."""

    async def scenario() -> list[str]:
        async with FaultyServer(Fault.NONE) as server:
            async with Session(server.address, PATIENT) as session:
                large = session.ask(payload(1, size))
                return [o.status for o in await asyncio.gather(large, session.ask(payload(2)))]

    assert asyncio.run(scenario()) == ["TOO_LARGE", "OK"]


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", "host:0", "host:70000"])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        Session(address, LinkSettings())


@pytest.mark.parametrize("name", ["window", "deadline_ms", "give_up_s"])
def test_settings_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        LinkSettings(**{name: 0})


def test_wire_bytes_match_what_a_relay_counted() -> None:
    """Per frame the link carries what we report, and at most two window updates more."""

    async def scenario(frames: int) -> tuple[int, int]:
        async with FaultyServer(Fault.NONE) as server:
            async with Relay(server.address, LinkSpec.parse("1gbit")) as relay:
                async with Session(f"127.0.0.1:{relay.port}", PATIENT) as session:
                    outcomes = await ask_all(session, frames)
                    return relay.counts.up, sum(o.wire.total_bytes for o in outcomes)

    few, many = asyncio.run(scenario(20)), asyncio.run(scenario(220))
    carried, reported = many[0] - few[0], many[1] - few[1]
    assert 0 <= carried - reported <= 200 * 40


def test_wire_bytes_are_reported_with_each_frame() -> None:
    outcomes, _ = asyncio.run(ask_a_faulty_server(Fault.NONE, 2))
    for outcome in outcomes:
        assert outcome.wire.packet_bytes == 300
        assert 300 < outcome.wire.message_bytes < outcome.wire.total_bytes < 350


def test_a_server_that_is_slow_but_alive_is_waited_for() -> None:
    """It owes answers for longer than a dead one is given, and answers pings meanwhile."""

    async def scenario() -> tuple[Outcome, Session]:
        settings = LinkSettings(deadline_ms=3_000, silence_s=0.05, sign_s=1.5)
        async with (
            FaultyServer(Fault.SILENT) as server,
            Session(server.address, settings) as session,
        ):
            return await session.ask(payload(1)), session

    outcome, session = asyncio.run(scenario())
    assert outcome.status == DEADLINE
    assert session.reconnects == 0


def test_a_link_slower_than_it_is_taken_for_is_learned_of() -> None:
    """A frame takes longer than a sign of life may: patience grows until it is through."""

    async def scenario() -> tuple[Outcome, Session]:
        settings = LinkSettings(deadline_ms=60_000, silence_s=0.05, sign_s=0.05)
        async with (
            FaultyServer(Fault.NONE) as server,
            Relay(server.address, LinkSpec.parse("32kbit,10ms")) as relay,
            Session(f"127.0.0.1:{relay.port}", settings) as session,
        ):
            return await session.ask(payload(1, size=2000)), session

    outcome, session = asyncio.run(scenario())
    assert outcome.status == "OK"
    assert session.reconnects >= 1
