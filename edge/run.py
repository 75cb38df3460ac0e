"""One run of a device: its settings, its moving parts, and how each frame of it ends."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic_ns
from typing import TYPE_CHECKING

from narrows.edge.backlog import Backlog
from narrows.edge.board.watch import HeatWatch
from narrows.edge.encoder import Encoder
from narrows.edge.link import LinkSettings
from narrows.edge.outcome import KEPT, LATER, NOT_ENCODED, NOTHING, Label, Outcome
from narrows.edge.payload import Payload
from narrows.edge.record import FrameRecord, Tally
from narrows.edge.source import SourceFrame
from narrows.edge.spooled import SpooledFrame
from narrows.errors import ConfigError, LinkError, NarrowsError

if TYPE_CHECKING:
    from narrows.edge.policy.policy import Decision
    from narrows.edge.spool import Spool  # SQLite, for who keeps frames

log = logging.getLogger(__name__)
OnRecord = Callable[[FrameRecord], None]
Renew = Callable[[str], Encoder]


@dataclass(frozen=True)
class DeviceSettings:
    """Where a device sends, and how."""

    server: str
    bundle: str = ""  # the name the server knows it by; empty: by the packet's digest
    points: tuple[int, ...] = (0,)  # operating points, taken in turn
    tasks: tuple[str, ...] = ()  # asked of every frame; none: all the bundle has
    fps: float | None = None  # None: as fast as answers come
    folders: tuple[str, ...] = ()  # class folders by label index, to tell right from wrong
    link: LinkSettings = field(default_factory=LinkSettings)
    digest: str = ""  # of the version it begins with

    def __post_init__(self) -> None:
        if self.fps is not None and self.fps <= 0:
            raise ConfigError(f"fps is {self.fps}: expected more than 0")


@dataclass(frozen=True)
class Coded:
    """A frame, and what was made of it for the link."""

    number: int  # of this run's frames, by capture
    frame: SourceFrame
    payload: Payload
    point: int | None  # None of a picture

    def spooled(self, first_id: int, terms: DeviceSettings) -> SpooledFrame:
        """As it is kept: one coded against the frame before is coded by itself."""
        payload, frame = self.payload, self.frame
        assert payload.kind != "nothing"
        return SpooledFrame(
            id=first_id + self.number,
            captured_ns=time.time_ns() - (monotonic_ns() - payload.started_ns),
            name=frame.name,
            label=frame.label,
            folder=frame.folder,
            point=self.point,
            kind=payload.kind,
            bundle=terms.bundle,
            tasks=terms.tasks,
            width=payload.width,
            height=payload.height,
            view=payload.view,
            data=payload.data if payload.key is None else payload.key(),
        )


@dataclass
class Run:
    """One run's moving parts."""

    source: Iterator[SourceFrame]
    encoder: Encoder
    settings: DeviceSettings
    on_record: OnRecord
    tally: Tally
    renew: Renew | None
    digest: str
    spool: "Spool | None" = None
    on_stop: Callable[[], None] = lambda: None  # wakes who waits for a camera's frame
    heat: HeatWatch | None = None
    backlog: Backlog | None = None  # of the spool, while the run lasts

    async def on_version(self, digest: str) -> bool:
        """Frames from now on are coded by that version; False: it cannot be had yet.

        One that is not fit for use changes nothing.
        """
        if self.renew is None or digest == self.digest:
            return True
        try:
            self.encoder, self.digest = await asyncio.to_thread(self.renew, digest), digest
            self.tally.renewals += 1
        except LinkError as error:
            log.info("the bundle stays as it was for now: %s", error)
            return False
        except (NarrowsError, OSError) as error:
            log.error("the bundle stays as it was: %s", error)
        return True

    @property
    def one_in(self) -> int:
        """One frame in so many is taken: more than 1 while the board is hot."""
        return 1 if self.heat is None else self.heat.one_in

    @property
    def keeps_pace(self) -> bool:
        """Whether a frame for which there is no room is kept, so that the next is in time."""
        return self.backlog is not None and self.settings.fps is not None

    def produce(self, point: int) -> tuple[SourceFrame, Payload | Outcome] | None:
        """Capture and encode the next frame, or tell why it ends here; None at the source's end.

        Runs in a worker thread.
        """
        frame = next(self.source, None)
        if frame is None:
            return None
        try:
            payload = self.encoder.encode(frame.image, point)
        except (NarrowsError, OSError, ValueError) as error:  # one strange picture
            return frame, Outcome(0, NOT_ENCODED, str(error))
        if payload.kind == "nothing":
            return frame, Outcome(0, NOTHING, "nothing in it", answered_by="local")
        return frame, payload

    def finish(
        self,
        frame: SourceFrame,
        point: int | None,
        outcome: Outcome,
        decision: "Decision | None" = None,
        kept: bool = False,
    ) -> None:
        """Note a frame's outcome and tell the caller."""
        stages, correct = stages_ms(outcome), judge(frame, outcome.labels, self.settings.folders)
        record = FrameRecord(
            frame.name, frame.label, correct, point, outcome, stages, frame.image, decision, kept,
            one_in=self.one_in,
        )  # fmt: skip
        self.tally.add(record)
        self.on_record(record)

    def settle(
        self,
        coded: Coded,
        outcome: Outcome,
        own: Outcome | None = None,
        decision: "Decision | None" = None,
    ) -> None:
        """`finish`, by way of the spool where no answer came and one may come later.

        own: the device's, which stands in meanwhile.
        """
        frame, told = coded.frame, outcome if own is None else own
        point = coded.point if told.sendings or own is None else None
        empty = coded.payload.kind == "nothing"
        if self.backlog is None or empty or outcome.status not in LATER:
            return self.finish(frame, point, told, decision)
        backlog, waiting = self.backlog, told
        if not told.ok:
            waiting = replace(told, status=KEPT, message=f"{told.status}: {told.message}")
        backlog.keep(
            lambda: coded.spooled(backlog.first_id, self.settings),
            lambda kept: self.finish(frame, point, waiting if kept else told, decision, kept),
        )

    def tell_spooled(self, frame: SpooledFrame, outcome: Outcome) -> None:
        """A frame has left the spool: a record, which no sum of this run's frames counts."""
        correct = judge(frame, outcome.labels, self.settings.folders)
        stages = stages_ms(outcome)
        self.on_record(
            FrameRecord(
                frame.name,
                frame.label,
                correct,
                frame.point,
                outcome,
                stages,
                captured_ns=frame.captured_ns,
            )
        )


def stages_ms(outcome: Outcome) -> dict[str, float]:
    """Where its time went, in milliseconds; empty unless it was answered."""
    timing = outcome.timing
    return {} if timing is None else {k: v / 1e6 for k, v in vars(timing).items()}


def judge(
    frame: SourceFrame | SpooledFrame, labels: Sequence[Label], folders: Sequence[str]
) -> bool | None:
    """Whether the best label is the frame's own; None when either is unknown."""
    if frame.label is None or not labels:
        return None
    best = labels[0]
    by_folder = frame.folder is not None and frame.folder in folders[best.index : best.index + 1]
    return by_folder or best.name.lower() == frame.label.lower()
