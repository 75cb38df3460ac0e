"""Kill a process that uses a spool at random moments; every time look at what it left.

python spool_kills.py FOLDER KILLS: children are forked from this warm process, which never holds
the spool open while it forks. A child says `+ID` once a frame is stored, `-ID` once it is deleted.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

from spools import content, frame

from narrows.edge.spool import FILE, Spool

LIMIT_BYTES = 64 << 20
MOST_LINES = 12


def live(folder: Path, seed: int, pipe: int) -> None:
    """Append frames and delete the oldest, until killed."""
    rng = random.Random(seed)
    with Spool(folder, LIMIT_BYTES) as spool:
        following = spool.last_id + 1
        while True:
            oldest = spool.oldest() if rng.random() < 0.45 else None
            if oldest is not None:
                spool.acknowledge(oldest.id)
                os.write(pipe, b"-%d\n" % oldest.id)
            else:
                spool.append(frame(following))
                os.write(pipe, b"+%d\n" % following)
                following += 1


def killed(folder: Path, seed: int) -> list[str]:
    """What a child said before it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            live(folder, seed, writer)
        finally:
            os._exit(1)  # only an error comes here
    os.close(writer)
    rng = random.Random(seed)
    with os.fdopen(reader) as lines:
        said = [lines.readline() for _ in range(rng.randrange(MOST_LINES))]
        time.sleep(rng.random() * 0.003)  # which instruction it dies at is up to this
        os.kill(child, signal.SIGKILL)
        said += lines.readlines()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return [line.strip() for line in said]


def checked(folder: Path, known: list[int]) -> list[int]:
    """The ids that are left, after comparing them with what the child said."""
    with Spool(folder, LIMIT_BYTES) as spool:
        assert not spool.set_aside, spool.set_aside
        left = content(spool)
    ids = [each.id for each in left]
    assert left == [frame(number) for number in ids], "a frame is not what was stored"
    # It may have died between storing, or deleting the oldest, and saying so.
    assert ids in (known, known[1:]) or ids[:-1] == known, (known, ids)
    with sqlite3.connect(folder / FILE) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    return ids


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    known: list[int] = []
    stored = deleted = silent = 0
    for seed in range(kills):
        said = killed(folder, seed)
        for line in said:
            if line.startswith("+"):
                known.append(int(line[1:]))
                stored += 1
            else:
                known.remove(int(line[1:]))
                deleted += 1
        silent += not said
        known = checked(folder, known)
    print(json.dumps({"kills": kills, "stored": stored, "deleted": deleted, "silent": silent}))


if __name__ == "__main__":
    main()
