"""A server whose tail takes a set time, as one on an accelerator of that speed would.

`python -m narrows.simulations.planning.paced_server BUNDLE MAX_BATCH MAX_WAITING BASE_MS FRAME_MS`
serves until its standard input closes. Sockets, event loop, admission, queue, batches and entropy
decoding are the server's own. The network runs once a batch, on its first frame, and the worker
then waits until BASE_MS and FRAME_MS for every frame have passed, with the processor free. So a
machine that others share can still serve a known tail.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from narrows.models.cores import Core
from narrows.models.tail_options import TailOptions
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings
from narrows.simulations.planning.pacing import Pacing

Run = Callable[[Tensor], Sequence[Tensor]]  # as a Core's


class PacedReplica(Replica):
    """A replica whose tails are not done before their time."""

    def pace(self, pacing: Pacing) -> None:
        """From now on."""
        for bundle in self._registry.by_name.values():
            core = bundle.tail.core
            bundle.tail.core = Core(core.way, paced(core.run, pacing))


def paced(run: Run, pacing: Pacing) -> Run:
    """`run` of the first frame for all, and then what is left of the batch's time."""

    def slower(latents: Tensor) -> Sequence[Tensor]:
        began = time.perf_counter()
        first = run(latents[:1])
        found = [part.expand(len(latents), *part.shape[1:]) for part in first]
        time.sleep(max(0.0, began + pacing.batch_s(len(latents)) - time.perf_counter()))
        return found

    return slower


async def serve(settings: ServerSettings, pacing: Pacing) -> None:
    """Until standard input closes."""
    replica = await PacedReplica.start(settings)
    assert isinstance(replica, PacedReplica)
    replica.pace(pacing)
    ready = {"address": f"127.0.0.1:{replica.port}", "replicas": [os.getpid()]}
    print(json.dumps(ready), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await replica.drain()


if __name__ == "__main__":
    folder, largest, waiting, base, frame = sys.argv[1:]
    options = TailOptions(tail="eager", precision="fp32")
    told = ServerSettings(
        (Path(folder),), max_batch=int(largest), max_waiting=int(waiting), threads=1, tail=options
    )
    asyncio.run(serve(told, Pacing(float(base), float(frame))))
