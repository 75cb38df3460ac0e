"""A spool gives back what was stored, in order, within its bound, and survives what befalls it."""

import os
import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spools import content, frame

from narrows.edge import spool as spools
from narrows.edge.spool import (
    DAMAGED,
    FILE,
    LOG_BYTES,
    MAX_FRAME_BYTES,
    MIN_BYTES,
    Spool,
)
from narrows.edge.spooled import SpooledFrame
from narrows.errors import ConfigError

Files = tuple[bytes, bytes]  # of the database and of its log


class History(list[tuple[Files, list[SpooledFrame]]]):
    """The files after each of many transactions, and what they hold."""

    def __repr__(self) -> str:
        return f"{len(self)} states"  # Hypothesis shows it where a test fails


HEADER = 32  # bytes of a log's
GARBAGE = bytes(range(1, 256)) * 3


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def files_of(folder: Path) -> Files:
    log = folder / f"{FILE}-wal"
    return (folder / FILE).read_bytes(), log.read_bytes() if log.exists() else b""


def told(frames: list[SpooledFrame]) -> list[tuple[int, bool]]:
    """What to compare where a difference would be long to read."""
    return [(each.id, each == frame(each.id, len(each.data))) for each in frames]


def put(folder: Path, files: Files) -> Path:
    (folder / FILE).write_bytes(files[0])
    (folder / f"{FILE}-wal").write_bytes(files[1])
    return folder


# Positive: append a frame of that size; 0: acknowledge the oldest; -1: close and open again.
steps = st.lists(st.integers(-1, 9).map(lambda n: n * 1500 if n > 0 else n), max_size=40)


@given(steps)
@settings(max_examples=60)
def test_frames_come_back_whole_and_in_order_until_acknowledged(steps: list[int]) -> None:
    with TemporaryDirectory() as name:
        spool, expected = Spool(Path(name), MIN_BYTES), list[SpooledFrame]()
        for number, step in enumerate(steps, 1):
            if step > 0:
                expected.append(frame(number, step))
                assert spool.append(expected[-1]) == ()
            elif step == 0 and expected:
                spool.acknowledge(expected.pop(0).id)
            elif step < 0:
                spool.close()
                spool = Spool(Path(name), MIN_BYTES)
            assert spool.oldest() == (expected[0] if expected else None)
        assert content(spool) == expected
        assert len(spool) == len(expected)
        assert spool.last_id == max((f.id for f in expected), default=0)
        spool.close()


def test_frames_that_come_late_are_given_in_order_of_capture(tmp_path: Path) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        for number in (5, 2, 9, 1):
            spool.append(frame(number, 50))
        assert [each.id for each in content(spool)] == [1, 2, 5, 9]


@given(st.lists(st.sampled_from([300, 2100, 60_000, 400_000, MAX_FRAME_BYTES]), max_size=60))
@settings(max_examples=15)
def test_a_full_spool_lets_the_oldest_go_and_tells_which(sizes: list[int]) -> None:
    with TemporaryDirectory() as name, Spool(Path(name), MIN_BYTES) as spool:
        expected = list[int]()
        for number, size in enumerate([*sizes, *[MAX_FRAME_BYTES] * 5], 1):
            gone = [each.id for each in spool.append(frame(number, size))]
            expected.append(number)
            assert gone == expected[: len(gone)]
            del expected[: len(gone)]
            assert on_disk(Path(name)) <= MIN_BYTES
        assert [each.id for each in content(spool)] == expected
        assert len(expected) >= (MIN_BYTES - LOG_BYTES) // MAX_FRAME_BYTES - 1


def test_small_frames_fill_what_was_asked_for(tmp_path: Path) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool, spool._transaction():
        for number in range(1, 4000):
            spool._db.execute(
                f"INSERT INTO frames VALUES ({', '.join('?' * 13)})",
                spools._row(frame(number, 600)),
            )
    with Spool(tmp_path, MIN_BYTES) as spool:
        number = 4000
        while not spool.append(frame(number, 600)):
            number += 1
        assert len(spool) * 600 > (MIN_BYTES - LOG_BYTES) / 2


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        spool.append(frame(1))
        with pytest.raises(OSError, match="takes frames of"):
            spool.append(frame(2, MAX_FRAME_BYTES + 1))
        assert content(spool) == [frame(1)]
    with pytest.raises(ConfigError, match="expected at least"):
        Spool(tmp_path, MIN_BYTES - 1)


def test_a_spool_is_one_devices(tmp_path: Path) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        spool.append(frame(1))
        with pytest.raises(ConfigError, match="no other device"):
            Spool(tmp_path, MIN_BYTES)
        spool.append(frame(2))
        assert len(spool) == 2


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="a folder that can be written"):
        Spool(tmp_path / "file", MIN_BYTES)


def test_a_full_disk_is_told_and_what_was_stored_stays(tmp_path: Path) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        spool.append(frame(1))
        spool._db.execute("PRAGMA max_page_count = 20")
        with pytest.raises(OSError, match="full"):
            spool.append(frame(2, 500_000))
        assert content(spool) == [frame(1)]
        spool.append(frame(3, 100))
        assert content(spool) == [frame(1), frame(3, 100)]


def test_a_name_that_is_no_utf8_is_kept_readably(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    with Spool(tmp_path, MIN_BYTES) as spool:
        spool.append(SpooledFrame(**(vars(frame(1, 10)) | {"name": name})))
        found = spool.oldest()
    assert found is not None
    assert found.name == r"caf\udce9.jpg"


@pytest.mark.parametrize("schema", [2, 7])
def test_a_spool_of_another_schema_is_set_aside(tmp_path: Path, schema: int) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        spool.append(frame(1))
        spool._db.execute(f"PRAGMA user_version = {schema}")
    with Spool(tmp_path, MIN_BYTES) as spool:
        assert spool.set_aside == str(tmp_path / DAMAGED)
        assert len(spool) == 0
    with sqlite3.connect(tmp_path / DAMAGED) as db:
        assert db.execute("SELECT count(*) FROM frames").fetchone() == (1,)
    db.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Checkpoints are among them."""
    folder, pages = tmp_path_factory.mktemp("history"), spools.LOG_PAGES
    states, expected = History(), list[SpooledFrame]()
    spools.LOG_PAGES = 16
    try:
        with Spool(folder, MIN_BYTES) as spool:
            for number in range(1, 50):
                if number % 3 == 0:
                    spool.acknowledge(expected.pop(0).id)
                else:
                    expected.append(frame(number, 200 + 37 * number * number % 9000))
                    spool.append(expected[-1])
                states.append((files_of(folder), list(expected)))
    finally:
        spools.LOG_PAGES = pages
    return states


def torn(before: bytes, after: bytes, draw: st.DrawFn) -> bytes:
    """What a power cut may leave of a write: any sectors of it, and an end at any byte."""
    seed, kept = draw(st.randoms(use_true_random=False)), b""
    for start in range(0, len(after), 512):
        new, old = after[start : start + 512], before[start : start + 512]
        kept += seed.choice([new, old + bytes(len(new) - len(old))] if old else unwritten(new))
    cut = draw(st.integers(len(before), len(after))) if len(after) > len(before) else len(after)
    return kept[:cut]


def unwritten(new: bytes) -> list[bytes]:
    return [new, bytes(len(new)), GARBAGE[: len(new)]]


def torn_log(before: bytes, after: bytes, draw: st.DrawFn) -> bytes:
    """As `torn`. SQLite syncs a log's new header before it writes what follows."""
    if before[:HEADER] == after[:HEADER] or not before:
        return torn(before, after, draw)
    written = draw(st.integers(0, HEADER))
    if written < HEADER:
        return after[:written] + before[written:]
    return after[:HEADER] + torn(before[HEADER:], after[HEADER:], draw)


@given(st.data())
@settings(max_examples=250)
def test_a_power_cut_at_any_byte_of_a_commit_leaves_it_done_or_undone(
    history: History, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(history) - 2))
    ((file, log), before), ((_, next_log), after) = history[at : at + 2]
    with TemporaryDirectory() as name:
        put(Path(name), (file, torn_log(log, next_log, data.draw)))
        with Spool(Path(name), MIN_BYTES) as spool:
            assert not spool.set_aside
            assert told(content(spool)) in (told(before), told(after))
            spool.append(frame(1000))
        with Spool(Path(name), MIN_BYTES) as spool:
            assert content(spool)[-1] == frame(1000)


@given(st.data())
@settings(max_examples=100)
def test_a_power_cut_while_the_log_is_carried_over_loses_nothing(
    history: History, data: st.DataObject
) -> None:
    changing = [n for n in range(1, len(history)) if history[n - 1][0][0] != history[n][0][0]]
    assert len(changing) >= 3
    at = data.draw(st.sampled_from(changing))
    ((file, _), _), ((next_file, log), after) = history[at - 1 : at + 1]
    with TemporaryDirectory() as name:
        put(Path(name), (torn(file, next_file, data.draw), log))
        with Spool(Path(name), MIN_BYTES) as spool:
            assert not spool.set_aside
            assert told(content(spool)) == told(after)


@given(st.data())
@settings(max_examples=150)
def test_damage_of_any_kind_is_no_error_and_the_spool_goes_on(
    history: History, data: st.DataObject
) -> None:
    files, _ = history[data.draw(st.integers(0, len(history) - 1))]
    damaged = [bytearray(part) for part in files]
    for _ in range(data.draw(st.integers(1, 5))):
        part = data.draw(st.sampled_from(damaged))
        place = data.draw(st.integers(0, max(0, len(part) - 1)))
        if data.draw(st.booleans()):
            del part[place:]
        else:
            junk = data.draw(st.binary(min_size=1, max_size=600))
            part[place : place + len(junk)] = junk
    with TemporaryDirectory() as name:
        put(Path(name), (bytes(damaged[0]), bytes(damaged[1])))
        with Spool(Path(name), MIN_BYTES) as spool:
            for each in content(spool):
                spool.acknowledge(each.id)
            spool.append(frame(10**6))
            assert content(spool)[-1] == frame(10**6)


def test_damage_while_it_is_open_is_set_aside_too(tmp_path: Path) -> None:
    with Spool(tmp_path, MIN_BYTES) as spool:
        for number in range(1, 200):
            spool.append(frame(number, 9000))
        spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        spool._db.execute("PRAGMA cache_size = 0")
        size = (tmp_path / FILE).stat().st_size
        with (tmp_path / FILE).open("r+b") as file:
            file.seek(4096)
            file.write(GARBAGE * ((size - 4096) // len(GARBAGE)))
        content(spool)
        spool.append(frame(1000))
        assert content(spool) == [frame(1000)]
        assert spool.set_aside
    shutil.rmtree(tmp_path)
