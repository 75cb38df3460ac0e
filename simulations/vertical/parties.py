"""All parties of a data set in one process, each with its own stream: `parties REQUEST.json`."""

import asyncio
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from narrows.edge.link import LinkSettings
from narrows.edge.vertical.join import Straggling, take_part
from narrows.edge.vertical.local import Product
from narrows.edge.vertical.party import Party, PartySettings
from narrows.simulations.vertical.datasets import load_vertical
from narrows.simulations.vertical.system import drawn_for


@dataclass(frozen=True)
class Request:
    """Which parties, of what, and how late they answer."""

    address: str
    data: str
    folder: str | None  # of the data's file
    records: int | None
    parties: int
    state: str  # folder for what they keep
    delay_s: float  # mean of exponential delays
    stragglers: int | None  # so many of them are late; None: all
    allow_plain: bool
    seed: int  # of delays and first weights
    width: int
    factors: int


def names_of(parties: int) -> list[str]:
    return [f"party-{n:02d}" for n in range(parties)]


def straggling_of(request: Request, party: int) -> Straggling:
    """Drawn anew each round, from the request's seed."""
    late = request.stragglers is None or party < request.stragglers
    return Straggling(request.delay_s if late else 0.0, f"{request.seed}/{party}")


def threshold_delays(request: Request, rounds: Sequence[int], wanted: int) -> list[float]:
    """Of each round, the delay of the party that is the `wanted`-th to answer."""
    drawn = [straggling_of(request, n) for n in range(request.parties)]
    return [sorted(d.delay_s(round) for d in drawn)[wanted - 1] for round in rounds]


def start(request: Request) -> list[str]:
    """The command of a process with these parties."""
    path = Path(request.state) / "request.json"
    path.write_text(json.dumps(asdict(request)))
    return [sys.executable, "-m", __name__, str(path)]


async def _run(request: Request) -> None:
    folder = Path(request.folder) if request.folder else None
    data = load_vertical(request.data, request.parties, folder, request.records)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(request.parties))
    names = names_of(request.parties)

    def settings(n: int) -> PartySettings:
        begin = Product.begin(
            data.parts[n].shape[1], sum(part.shape[1] for part in data.parts), request.width,
            request.factors, drawn_for(request.seed, n),
        )  # fmt: skip
        return PartySettings(
            names[n], data.tables[n], Path(request.state) / names[n],
            allow_plain=request.allow_plain, begin=begin.weights,
        )  # fmt: skip

    await asyncio.gather(
        *(
            take_part(
                Party(settings(n)), request.address, LinkSettings(), straggling_of(request, n)
            )
            for n in range(request.parties)
        )
    )


if __name__ == "__main__":
    asyncio.run(_run(Request(**json.loads(Path(sys.argv[1]).read_text()))))
