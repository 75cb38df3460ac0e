"""Between the two halves of a reload packets of both versions are answered; devices wait for it."""

import asyncio
import shutil

import pytest
from bundles import renew

from narrows.codec.manifest import Manifest
from narrows.edge.link import LinkSettings
from narrows.edge.renewal import watch_bundle
from narrows.models.bundle import write_manifest
from narrows.server.refusal import Refusal
from narrows.server.registry import load_bundle, load_registry
from narrows.server.replica import Replica
from narrows.server.settings import ServerSettings


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def test_the_versions_of_which_packets_are_taken(bundle):
    registry = load_registry([bundle])
    versions = [Manifest.load(bundle)]

    def taken() -> list[int]:
        numbers = []
        for number, manifest in enumerate(versions):
            try:
                registry.of_packet("tiny", manifest.digest_prefix)
                numbers.append(number)
            except Refusal:
                pass
        return numbers

    for number in (1, 2):
        versions.append(renew(bundle, str(number)))
        registry.accept(load_bundle(bundle, None))
        assert taken() == list(range(number + 1))[-3:]
        assert registry.by_name["tiny"].manifest.digest == versions[-2].digest
        registry.announce()
        assert taken() == list(range(number + 1))[-2:]
        assert registry.by_name["tiny"].manifest.digest == versions[-1].digest


def test_back_to_the_version_before(bundle):
    registry, first = load_registry([bundle]), Manifest.load(bundle)
    for number in (1, 0, 1):
        fields = first.as_dict()
        if number:
            second = renew(bundle, str(number))
        else:
            write_manifest(bundle, fields)
        registry.accept(load_bundle(bundle, None))
        registry.announce()
        for manifest in (first, second):
            assert registry.of_packet("tiny", manifest.digest_prefix)


def test_a_version_that_cannot_be_had_yet_is_asked_for_again(bundle):
    async def scenario():
        replica = await Replica.start(ServerSettings((bundle,), threads=1))
        asked, done = [], asyncio.Event()

        async def on_version(digest: str) -> bool:
            asked.append(digest)
            if len(asked) == 3:
                done.set()
            return len(asked) == 3

        address, settings = f"127.0.0.1:{replica.port}", LinkSettings(backoff_initial_s=0.01)
        watching = asyncio.create_task(watch_bundle(address, settings, "tiny", on_version))
        await done.wait()
        second = renew(bundle, "1")
        done.clear()
        asked.clear()
        await replica.reload()
        await done.wait()
        watching.cancel()
        await replica.drain()
        return asked, second.digest

    asked, digest = asyncio.run(asyncio.wait_for(scenario(), 200))
    assert asked == [digest] * 3
