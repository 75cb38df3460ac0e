"""What replicas count, as Prometheus and the page see it."""

import asyncio
import json

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.console import Console
from narrows.server.exposition import prometheus_page
from narrows.server.overview import _quantile, figures


def looked_at(served, packets, look):
    """Send every packet and a broken one, then look: look(session, address)."""

    async def scenario(replica, stub):
        async def collect():
            return {replica.name: replica.samples()}

        for number, packet in enumerate([*packets, b"broken"]):
            await stub.Infer(inference_pb2.Frame(frame_id=number, packet=packet))
        console = Console(collect, replica.manifests)
        await console.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession() as session:
                return await look(session, f"http://127.0.0.1:{console.port}")
        finally:
            await console.close()

    return served(scenario)


def test_the_figures_add_up(served, packets):
    async def look(session, address):
        async with session.get(f"{address}/figures.json") as response:
            return await response.json()

    found = looked_at(served, packets, look)
    assert found["statuses"] == {"OK": len(packets), "MALFORMED": 1}
    (device,) = found["devices"]
    assert device["frames"] == len(packets) + 1
    assert device["answered"] == len(packets)
    assert device["bytes"] == sum(map(len, packets)) + len(b"broken")
    assert {p["point"] for p in found["points"]} == {"0", "1", "2"}
    assert sum(p["frames"] for p in found["points"]) == len(packets)
    for point in found["points"]:
        own = [len(p) for i, p in enumerate(packets) if i % 3 == int(point["point"])]
        assert point["mean_bytes"] == pytest.approx(sum(own) / len(own))
        assert set(point["scores"]) == {"classification"}
    assert 0 < found["stages"]["tail"]["p50"] <= found["stages"]["tail"]["p99"]
    assert found["replicas"][0]["resident_bytes"] > 1e7
    assert found["quarantined"] == 0
    assert 0 <= device["seen_s"] < 60
    for stage in found["stages"].values():
        assert len(stage["counts"]) == len(found["bounds_ms"]) + 1
        assert sum(stage["counts"]) == len(packets)
    assert found["bounds_ms"] == sorted(found["bounds_ms"])
    assert all(p["expected_bytes"] >= 0 for p in found["points"])


def test_what_nobody_measures_is_not_told(served, packets):
    async def look(session, address):
        async with session.get(f"{address}/figures.json") as response:
            return await response.json()

    found = looked_at(served, packets, look)
    assert found["energy_joules"] is None
    assert found["federated"] == []


def test_energy_rounds_and_quarantine_are_shown_where_they_are_told():
    one = [("narrows_energy_joules_total", {}, 2.5)]
    two = [
        ("narrows_energy_joules_total", {}, 4.0),
        ("narrows_federated_round", {"run": "7"}, 3.0),
    ]
    director = [
        ("narrows_answers_checked_total", {}, 7.0),
        ("narrows_replica_quarantined_total", {"node": "a"}, 1.0),
        ("narrows_replica_quarantined_total", {"node": "b"}, 2.0),
    ]
    found = figures({"one": one, "two": two, "director": director}, [])
    assert found["energy_joules"] == 6.5
    assert [r["name"] for r in found["replicas"]] == ["one", "two"]
    assert (found["checked"], found["quarantined"]) == (7, 3)
    assert found["federated"] == [{"name": "round", "labels": {"run": "7"}, "value": 3.0}]


def test_prometheus_reads_the_page(served, packets):
    async def look(session, address):
        async with session.get(f"{address}/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return await response.text()

    families = {f.name: f for f in text_string_to_metric_families(looked_at(served, packets, look))}
    frames = families["narrows_frames"]
    assert frames.type == "counter"
    assert sum(s.value for s in frames.samples) == len(packets) + 1
    stages = families["narrows_stage_seconds"]
    assert stages.type == "histogram"
    whole = [s.value for s in stages.samples if s.labels.get("le") == "+Inf"]
    assert whole == [len(packets)] * 4
    assert all(s.labels["replica"] for f in families.values() for s in f.samples)


def test_events_come_by_themselves_and_the_page_needs_nobody_else(served, packets):
    async def look(session, address):
        async with session.get(f"{address}/events") as response:
            lines = [await response.content.readline() for _ in range(3)]
        async with session.get(address) as response:
            assert response.headers["Content-Security-Policy"] == "default-src 'self'"
            page = await response.text()
        for name in ("console.js", "charts.js", "console.css"):
            async with session.get(f"{address}/{name}") as response:
                page += await response.text()
        return lines, page

    lines, page = looked_at(served, packets, look)
    assert json.loads(lines[0].removeprefix(b"data: "))["statuses"]["OK"] == len(packets)
    assert lines[1] == b"\n"
    assert "//" not in page.replace("http://www.w3.org/2000/svg", "").replace("// ", "")


def test_two_replicas_are_one_page():
    samples = [
        ("narrows_frames_total", {"bundle": "b", "point": "0", "tasks": "", "status": "OK"}, 3.0),
        ("narrows_device_frames_total", {"device": 'a"\n', "status": "OK"}, 3.0),
    ]
    replicas = {"one": samples, "two": samples}
    assert figures(replicas, [])["statuses"] == {"OK": 6.0}
    families = list(text_string_to_metric_families(prometheus_page(replicas)))
    assert [len(f.samples) for f in families] == [2, 2]
    assert {s.labels.get("device") for s in families[1].samples} == {'a"\n'}


def test_quantiles_lie_within_their_bucket():
    inf = float("inf")
    found = {0.001: 0.0, 0.002: 50.0, 0.004: 100.0, inf: 100.0}
    assert _quantile(found, 0.5) == pytest.approx(0.002)
    assert _quantile(found, 0.75) == pytest.approx(0.003)
    assert _quantile({0.001: 0.0, inf: 5.0}, 0.5) == 0.001
    assert _quantile({}, 0.5) == 0.0


def test_a_taken_port_is_named():
    async def twice():
        async def collect():
            return {}

        first, second = Console(collect, []), Console(collect, [])
        await first.start("127.0.0.1", 0)
        try:
            with pytest.raises(ConfigError, match=f"--console {first.port}"):
                await second.start("127.0.0.1", first.port)
        finally:
            await second.close()
            await first.close()

    asyncio.run(twice())
