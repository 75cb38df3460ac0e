"""A bundle's new version reaches a device that runs: told by the server, fetched, taken over."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import cycle

import grpc

from narrows.edge.link import Backoff, LinkSettings, addresses_of, open_channel
from narrows.protos.narrows.v1 import bundles_pb2, bundles_pb2_grpc

log = logging.getLogger(__name__)


async def watch_bundle(
    servers: str, settings: LinkSettings, name: str, on_version: Callable[[str], Awaitable[bool]]
) -> None:
    """Call `on_version` with the digest that is served now, and again whenever it changes.

    servers: `host:port`, or several with commas, of which the next is asked when one is gone.
    Where it says False it is asked again later: that version cannot be had yet. Runs until
    cancelled, or returns where the server does not tell.
    """
    backoff = Backoff(settings.backoff_initial_s, settings.backoff_cap_s)
    told = ""
    for address in cycle(addresses_of(servers)):
        try:
            async with open_channel(address, settings) as channel:
                stub = bundles_pb2_grpc.BundlesStub(channel)
                async for reply in stub.Watch(bundles_pb2.WatchBundlesRequest()):
                    digest = next((i.digest.hex() for i in reply.bundles if i.name == name), told)
                    if digest != told and not await on_version(digest):
                        break
                    told = digest
                    backoff.reset()
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return
            log.debug("%s: no news of bundles: %s", address, error.details())
        await asyncio.sleep(backoff.next_s())
