"""What `narrows bench serve` measures beside the server: a bare gRPC echo and the bare tail.

`python -m narrows.simulations.bench.load_peers echo` serves until its standard input closes;
`... tail BUNDLE PACKETS BATCH THREADS SECONDS` prints frames per second.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import grpc

from narrows.simulations.bench.load import STREAM, read_packets


async def echo() -> None:
    """Every message back as it came; nothing is parsed."""

    async def stream(
        messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message

    server = grpc.aio.server()
    service, method = STREAM.strip("/").split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


def tail(bundle: Path, packets: list[bytes], batch: int, threads: int, seconds: float) -> float:
    """Frames per second of decoding and the tail alone, fed from memory."""
    import numpy as np
    import torch

    from narrows.codec import bitstream
    from narrows.codec.frame import load_frame_codec
    from narrows.codec.manifest import Manifest
    from narrows.models.bundle import load_tail
    from narrows.models.cores import find_device
    from narrows.models.tail_choice import Load, choose_core
    from narrows.models.tail_options import TailOptions

    torch.set_num_threads(threads)
    manifest = Manifest.load(bundle)
    codec, runner, tasks = (
        load_frame_codec(bundle, manifest),
        load_tail(bundle, find_device("auto").type),
        manifest.labels_of,
    )
    options, load = TailOptions(), Load(threads, batch)  # as the server beside it
    runner.core = choose_core(runner.tail, bundle, manifest, runner.device, options, load)
    frames, ended = 0, 0.0
    for share in (0.1, 1.0):
        frames, started = 0, perf_counter()
        while (ended := perf_counter()) - started < share * seconds:
            chosen = [packets[(frames + i) % len(packets)] for i in range(batch)]
            decoded = codec.decode([bitstream.parse(p) for p in chosen], threads)
            latents = [item for item in decoded if isinstance(item, np.ndarray)]
            runner.answers(np.stack(latents), [(0, 0)] * len(latents), tasks)
            frames += len(latents)
    return frames / (ended - started)


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        asyncio.run(echo())
    else:
        folder, file, *numbers = sys.argv[2:]
        at_once, workers = int(numbers[0]), int(numbers[1])
        print(tail(Path(folder), read_packets(Path(file)), at_once, workers, float(numbers[2])))
