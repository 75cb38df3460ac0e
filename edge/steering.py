"""Which server to open a stream to, where there are several: the better of two that were asked.

Power of two choices: asking two at random balances almost as well as asking all (Mitzenmacher, IEEE
TPDS 2001), and a fleet that comes back at once does not run to the one that was idle a moment ago.
"""

import asyncio
import random
from collections.abc import Sequence
from time import monotonic

import grpc

from narrows.edge.link import LinkSettings, open_channel
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc

PATIENCE_S = 0.2  # for the slower of two, beyond what the faster one took
Load = tuple[int, int]  # milliseconds that a frame would wait; open streams


async def least_loaded(addresses: Sequence[str], settings: LinkSettings, bundle: str) -> str:
    """The address to use next: any where there is one, or where none answers."""
    if len(addresses) == 1:
        return addresses[0]
    shuffled = random.sample(addresses, k=len(addresses))
    for start in range(0, len(shuffled), 2):
        loads = await _loads(shuffled[start : start + 2], settings, bundle)
        if loads:
            return min(loads, key=lambda address: loads[address])
    return shuffled[0]


async def _loads(two: Sequence[str], settings: LinkSettings, bundle: str) -> dict[str, Load]:
    """Of those that answer and serve the bundle. One that is slow is not waited for long."""
    started = monotonic()
    asked = {asyncio.ensure_future(_load(address, settings, bundle)): address for address in two}
    waiting, loads, patience_s = set(asked), dict[str, Load](), settings.connect_timeout_s
    while waiting and patience_s > 0:
        done, waiting = await asyncio.wait(
            waiting, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
        )
        loads |= {asked[each]: load for each in done if (load := each.result()) is not None}
        took_s = monotonic() - started
        patience_s = took_s + PATIENCE_S if loads else settings.connect_timeout_s - took_s
        if not done:
            break
    for late in waiting:
        late.cancel()
    return loads


async def _load(address: str, settings: LinkSettings, bundle: str) -> Load | None:
    async with open_channel(address, settings) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        request = inference_pb2.PingRequest(bundle=bundle)
        try:
            reply = await stub.Ping(request, timeout=settings.connect_timeout_s)
        except grpc.aio.AioRpcError:
            return None
        return None if reply.unserved else (reply.wait_ms, reply.streams)
