"""Places for frames in flight: live frames first, what was kept behind them."""

import asyncio


class Window(asyncio.Semaphore):
    """A semaphore that also lets one in behind all others, and while the link is up alone."""

    def __init__(self, places: int):
        super().__init__(places)
        self._spared = min(2, places)  # one of them stays free for the next live frame
        self._free, self._up = places, False
        self._changed = asyncio.Event()

    async def acquire(self) -> bool:  # type: ignore[override]
        """Take a place, waiting for one."""
        taken = await super().acquire()
        self._free -= 1
        return bool(taken)

    def release(self) -> None:
        """Give a place back."""
        self._free += 1
        super().release()
        self._changed.set()

    def on_link(self, up: bool) -> None:
        """The link came or went."""
        self._up = up
        self._changed.set()

    async def acquire_behind(self) -> None:
        """Take a place once the link is up and a live frame would find another one at once."""
        while not self._up or self.locked() or self._free < self._spared:
            self._changed.clear()
            await self._changed.wait()
        await self.acquire()

    async def link_gone(self) -> None:
        """Wait until the link is down."""
        while self._up:
            self._changed.clear()
            await self._changed.wait()
