"""The board's heat beside a device's loop."""

import asyncio
import logging

from made_up_board import places, put

from narrows.edge.board.heat import HeatPlaces
from narrows.edge.board.watch import HeatWatch
from narrows.edge.policy.cooling import Cooling

# Its first two readings tell of heat, the next fails, and from then on it is cool.
FIRMWARE = """#!/bin/sh
echo >> {count}
case $(wc -l < {count}) in
1|2) echo throttled=0x4;;
3) echo error=1;;
*) echo throttled=0x0;;
esac"""


def watching(tree) -> HeatWatch:
    script = tree / "vcgencmd"
    put(script, FIRMWARE.format(count=tree / "count"))
    script.chmod(0o755)
    return HeatWatch(
        HeatPlaces(tree, (str(script),), tree / "none"), Cooling(0.0, 0.0), every_s=0.01
    )


def test_a_reading_that_fails_ends_nothing(tmp_path, caplog):
    watch = watching(tmp_path)

    async def drive() -> None:
        task = asyncio.ensure_future(watch.watch())
        while len(watch.summary()["steps"] if watch.summary() else []) < 4:
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()

    with caplog.at_level(logging.WARNING):
        asyncio.run(drive())
    assert [record.message for record in caplog.records] == [
        "throttled: 1 frame in 2 from now on",
        "throttled: 1 frame in 4 from now on",
        "not throttled: 1 frame in 2 from now on",
        "not throttled: every frame from now on",
    ]
    told = watch.summary()
    assert told["one_in"] == 1
    assert [step["one_in"] for step in told["steps"]] == [2, 4, 2, 1]


def test_a_board_that_tells_nothing_is_asked_once(tmp_path):
    watch = HeatWatch(places(tmp_path))
    asyncio.run(watch.watch())
    assert (watch.summary(), watch.one_in) == (None, 1)
