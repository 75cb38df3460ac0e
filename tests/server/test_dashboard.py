"""The Grafana dashboard asks for what a replica exposes."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.exposition import prometheus_page

GRAFANA = Path(__file__).parents[2] / "server" / "deploy" / "grafana"
BOARD = json.loads((GRAFANA / "dashboards" / "narrows.json").read_text())
SELECTOR = re.compile(r"(narrows_\w+)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"by \(([^)]*)\)")


def queries() -> list[str]:
    asked = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    return asked + [variable["query"]["query"] for variable in BOARD["templating"]["list"]]


@pytest.fixture
def exposed(served, packets) -> dict[str, set[str]]:
    """Labels of every sample that Prometheus reads from a replica at work, by its name."""

    async def scenario(replica, stub):
        async def frames():
            for number, packet in enumerate(packets):
                yield inference_pb2.Frame(frame_id=number, packet=packet)

        async for _ in stub.Stream(frames()):
            pass
        return prometheus_page({replica.name: replica.samples()})

    families = text_string_to_metric_families(served(scenario))
    return {s.name: set(s.labels) for family in families for s in family.samples}


def test_every_metric_and_label_asked_for_is_exposed(exposed):
    asked = queries()
    assert len(asked) > 10
    for query in asked:
        found = SELECTOR.findall(query)
        assert found, query
        for name, selector in found:
            assert name in exposed, query
            assert set(re.findall(r"(\w+)=~?\"", selector)) <= exposed[name], query
        told = set.union(*(exposed[name] for name, _ in found))
        for grouping in GROUPING.findall(query):
            assert set(grouping.replace(" ", "").split(",")) <= told, query


def test_panels_use_the_data_source_that_is_provisioned():
    told = (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    uids = {panel["datasource"]["uid"] for panel in BOARD["panels"]}
    assert uids == {re.search(r"uid: (\S+)", told)[1]}
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
