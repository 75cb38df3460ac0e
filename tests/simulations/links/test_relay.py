"""The relay carries every byte in order, never faster than its link, and survives outages."""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.simulations.links.relay import Line, Relay
from narrows.simulations.links.spec import LinkSpec

FAST = LinkSpec.parse("1gbit")


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    """A server that sends back what it gets, to the end of file."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def echoed(port: int, chunks: list[bytes]) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    data = await reader.read()
    await sending
    writer.close()
    return data


async def through(spec: LinkSpec, *messages: list[bytes]) -> tuple[list[bytes], Relay]:
    async with echo_server() as target, Relay(target, spec) as relay:
        return list(await asyncio.gather(*(echoed(relay.port, m) for m in messages))), relay


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
def test_bytes_arrive_exact_and_in_order_both_ways(seed: int, sizes: list[int]) -> None:
    chunks = [random.Random(seed).randbytes(size) for size in sizes]
    (back,), relay = asyncio.run(through(FAST, chunks))
    assert back == b"".join(chunks)
    assert (relay.counts.up, relay.counts.down) == (sum(sizes), sum(sizes))


def test_connections_do_not_mix() -> None:
    messages = [[random.Random(i).randbytes(50_000)] for i in range(4)]
    answers, _ = asyncio.run(through(FAST, *messages))
    assert answers == [m[0] for m in messages]


def test_a_transfer_takes_at_least_its_bytes_over_the_rate_and_the_delays() -> None:
    spec = LinkSpec.parse("2mbit,20ms")
    started = time.monotonic_ns()
    (back,), _ = asyncio.run(through(spec, [b"x" * 20_000]))
    elapsed = time.monotonic_ns() - started
    assert len(back) == 20_000
    assert elapsed >= spec.serialisation_ns(20_000) + 2 * spec.delay_ns


def test_two_connections_share_one_line() -> None:
    spec = LinkSpec.parse("2mbit")
    started = time.monotonic_ns()
    asyncio.run(through(spec, [b"x" * 15_000], [b"y" * 15_000]))
    assert time.monotonic_ns() - started >= spec.serialisation_ns(30_000)


@given(
    sends=st.lists(
        st.tuples(st.integers(0, 10**8), st.integers(1, 65536)), min_size=1, max_size=50
    ),
    rate=st.sampled_from(["64kbit,5ms", "2mbit,20ms", "1gbit"]),
)
def test_the_virtual_clock_never_runs_faster_than_the_link(
    sends: list[tuple[int, int]], rate: str
) -> None:
    spec = LinkSpec.parse(rate)
    line, now, arrivals = Line(spec), 0, [0]
    for gap_ns, size in sends:
        now += gap_ns
        arrival = line.reserve(size, now)
        assert arrival >= now + spec.serialisation_ns(size) + spec.delay_ns
        assert arrival >= arrivals[-1] + spec.serialisation_ns(size)
        arrivals.append(arrival)


def test_nothing_passes_an_outage_and_everything_passes_after_it() -> None:
    async def scenario() -> bytes:
        async with echo_server() as target, Relay(target, FAST) as relay:
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            relay.cut()
            writer.write(b"during")
            answer = asyncio.ensure_future(reader.readexactly(6))
            done, _ = await asyncio.wait([answer], timeout=0.2)
            assert not done
            relay.restore()
            return await answer

    assert asyncio.run(scenario()) == b"during"


def test_reset_connections_ends_them_and_new_ones_work() -> None:
    async def scenario() -> bytes:
        async with echo_server() as target, Relay(target, FAST) as relay:
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            writer.write(b"x")
            await reader.readexactly(1)
            relay.reset_connections()
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            return await echoed(relay.port, [b"again"])

    assert asyncio.run(scenario()) == b"again"


def test_a_receiver_that_does_not_read_stops_the_sender() -> None:
    """What the relay holds is bounded: the rest waits in the sender."""

    async def scenario() -> int:
        silent = await asyncio.start_server(lambda *_: asyncio.Event().wait(), "127.0.0.1", 0)
        target = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with silent, Relay(target, FAST) as relay:
            _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            writer.write(bytes(64 << 20))
            before = -1
            while relay.counts.up != before:  # until nothing moves any more
                before = relay.counts.up
                await asyncio.sleep(0.2)
            writer.transport.abort()
            return before

    assert asyncio.run(scenario()) < 48 << 20


def test_a_target_that_is_gone_closes_the_connection() -> None:
    async def scenario() -> bytes:
        async with echo_server() as target:
            pass
        async with Relay(target, FAST) as relay:
            reader, _ = await asyncio.open_connection("127.0.0.1", relay.port)
            with contextlib.suppress(ConnectionResetError):
                return await reader.read()
            return b""

    assert asyncio.run(scenario()) == b""


@pytest.mark.parametrize("target", ["", "host", "host:", ":1", "host:99999"])
def test_a_target_without_host_and_port_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        Relay(target, FAST)


def test_the_process_says_where_it_listens_and_what_it_carried() -> None:
    async def scenario() -> tuple[dict[str, object], dict[str, object]]:
        async with echo_server() as target:
            command = [
                sys.executable,
                "-m",
                "narrows.simulations.links.relay",
                target,
                "100mbit,1ms",
                "--json",
            ]
            process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            assert process.stdout is not None
            ready = json.loads(await process.stdout.readline())
            await echoed(ready["port"], [b"x" * 1000])
            process.send_signal(signal.SIGTERM)
            counts = json.loads(await process.stdout.readline())
            assert await process.wait() == 0
            return ready, counts

    ready, counts = asyncio.run(scenario())
    assert ready["link"] == "100mbit,1ms"
    assert counts == {"up": 1000, "down": 1000}
