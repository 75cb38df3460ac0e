"""Kill a process that fetches a bundle at random moments; look at the cache every time.

python fetch_kills.py ADDRESS CACHE KILLS: children are forked from this warm process.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from narrows.codec.manifest import HEAD_FILES, MANIFEST, Manifest
from narrows.edge.fetch import fetch_bundle


def killed(address: str, cache: Path, longest_s: float) -> None:
    child = os.fork()
    if child == 0:
        try:
            fetch_bundle(address, "", cache)
        finally:
            os._exit(0)
    time.sleep(random.random() * longest_s)  # which instruction it dies at is up to this
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def whole(folder: Path) -> None:
    """Raises BundleError unless it is."""
    manifest = Manifest.load(folder)
    assert manifest.digest == folder.name
    manifest.verify_files(folder, tuple(n for n in HEAD_FILES if n in manifest.files))


def took_s(address: str, cache: Path) -> float:
    """How long a whole fetch takes, in a child: gRPC's threads do not survive a fork."""
    began_s = time.monotonic()
    child = os.fork()
    if child == 0:
        fetch_bundle(address, "", cache)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return time.monotonic() - began_s


def main() -> None:
    address, cache, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    longest_s = 1.2 * took_s(address, cache.with_name("measured"))
    complete = partial = 0
    for _ in range(kills):
        killed(address, cache, longest_s)
        found = list(cache.glob(f"*/{MANIFEST}")) if cache.exists() else []
        for manifest in found:
            if not manifest.parent.name.startswith("arriving-"):
                whole(manifest.parent)
                complete += 1
                manifest.unlink()  # so that the next fetches again, over the files that are there
        partial += not found
    took_s(address, cache)
    left = [path.name for path in cache.iterdir()]
    print(json.dumps({"kills": kills, "complete": complete, "partial": partial, "left": left}))


if __name__ == "__main__":
    main()
