"""Rounds from a bundle to a new one, over nodes in this process."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="needs the federated extra")
pytest.importorskip("torch", reason="needs the server extra")

import torch
from rounds_bundle import write_learning_bundle, write_photographs, write_rounds_recipe
from safetensors.numpy import load_file

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import INT8_HEAD, Manifest
from narrows.codec.signature import verify_signature
from narrows.edge.encoder import load_feature_encoder
from narrows.errors import ConfigError, SessionError
from narrows.federated.client_app import app
from narrows.federated.journal import read_journal
from narrows.federated.network import Network
from narrows.federated.recipe import load_rounds_recipe
from narrows.federated.rounds import run_rounds
from narrows.federated.settings import ServerSettings
from narrows.models.bundle import load_tail
from narrows.simulations.rounds.nodes import SERVER_NODE, Nodes

CLIENTS = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    write_learning_bundle(folder / "bundle")
    write_photographs(folder / "photographs", 45)
    return folder


@pytest.fixture(scope="module")
def learnt(place: Path, tmp_path_factory: pytest.TempPathFactory):
    """Two rounds in which the encoder learnt: the new bundle, its manifest, the journal."""
    folder = tmp_path_factory.mktemp("learnt")
    recipe = write_rounds_recipe(folder / "recipe.toml")
    manifest, events = run(place, folder / "new", recipe)
    return folder / "new", manifest, events


def run(place: Path, out: Path, recipe: Path, rounds: int = 2, share: float = 1.0, prepare=None):
    """Nodes in this process, and a run over them; `prepare` sees the nodes first."""
    config = {
        "bundle": str(place / "bundle"), "recipe": str(recipe), "data": str(place / "photographs"),
        "partition": "iid", "out": str(out), "name": "learnt",
        "key": str(place / "key.pem"), "rounds": rounds, "least-clients": 2,
        "clients-per-round": share, "timeout-seconds": 5.0, "seed": 0,
    }  # fmt: skip
    nodes = Nodes(CLIENTS, app)
    for context in nodes.contexts.values():
        context.run_config = dict(config)
        context.node_config["num-partitions"] = CLIENTS
    if prepare:
        prepare(nodes)
    manifest = run_rounds(nodes, ServerSettings.of(config))
    return manifest, read_journal(out.with_name(out.name + ".rounds"))


def test_an_encoder_learns_and_the_tail_stays(place, learnt):
    new, manifest, events = learnt
    old = place / "bundle"
    assert [event["event"] for event in events] == ["began", "round", "round", "ended"]
    assert all(event["answered"] == CLIENTS for event in events[1:-1])
    head, before = load_file(new / "head.safetensors"), load_file(old / "head.safetensors")
    assert all(not np.array_equal(head[name], before[name]) for name in before)
    tail, before = load_file(new / "tail.safetensors"), load_file(old / "tail.safetensors")
    assert {n: t.tobytes() for n, t in tail.items()} == {n: t.tobytes() for n, t in before.items()}
    verify_signature(new, place / "key.pem.pub")
    assert set(manifest.files) == set(Manifest.load(old).files) - {"inter_tables.safetensors"}
    assert "int8_calibration" in manifest.provenance
    told = manifest.provenance["rounds"][0]
    assert (told["from"], told["rounds"], told["clients"]) == (
        Manifest.load(old).digest,
        2,
        CLIENTS,
    )


def test_the_figures_are_those_of_real_packets(place, learnt):
    """All nodes' photographs through the new bundle, as a device codes them."""
    new, manifest, events = learnt
    after = events[-1]["after"]
    assert after["photographs"] == sum(len(own_kept(place, n)) for n in range(CLIENTS))
    encoder = load_feature_encoder(new, manifest)
    sizes = [[], [], []]
    for n in range(CLIENTS):
        for picture in own_kept(place, n):
            for point in range(3):
                sizes[point].append(len(encoder.encode(picture, point).data))
    means = [point["packet_bytes"] for point in after["points"]]
    assert means == pytest.approx([float(np.mean(s)) for s in sizes], abs=1e-6)
    assert [p.packet_bytes for p in manifest.operating_points] == [round(m, 1) for m in means]
    load_tail(new)


def own_kept(place: Path, client: int):
    from narrows.federated.photographs import Place, own_photographs

    own = own_photographs(Place(place / "photographs", "iid", client, CLIENTS))
    return [own.images.image(entry.name) for entry in own.kept]


def test_the_tables_are_those_of_all_nodes_symbols(place, learnt, tmp_path):
    """Counting is pooling: the mean of nodes' distributions, by their photographs."""
    from narrows.federated.learning import count_symbols
    from narrows.federated.photographs import Place, load, own_photographs

    new, manifest, _ = learnt
    recipe = write_rounds_recipe(tmp_path / "recipe.toml")
    network = Network.load(place / "bundle", load_rounds_recipe(str(recipe)).local)
    weights = load_file(new / "head.safetensors")
    network.model.head.begin({name: torch.tensor(value) for name, value in weights.items()})
    steps = load_file(new / "tables.safetensors")
    network.bottleneck.begin(torch.tensor(steps["gain"]), torch.tensor(steps["inverse_gain"]))
    counted, sizes = [], []
    for n in range(CLIENTS):
        own = own_photographs(Place(place / "photographs", "iid", n, CLIENTS))
        data = load(own, own.entries, network.manifest)
        count_symbols(network, data)
        counted.append(network.distributions())
        sizes.append(len(data))
    network.set_distributions(np.average(counted, axis=0, weights=sizes).astype(np.float32))
    expected = network.codec().points
    found = load_frame_codec(new, manifest).points
    for ours, theirs in zip(expected, found, strict=True):
        assert np.abs(ours.tables.arrays.lengths - theirs.tables.arrays.lengths).max() <= 1


def changed(place: Path, new: Path) -> set[str]:
    parts = ("head", "tail", "unsplit")
    return {
        part
        for part in parts
        if (place / "bundle" / f"{part}.safetensors").read_bytes()
        != (new / f"{part}.safetensors").read_bytes()
    }


def test_heads_alone_learn_where_a_recipe_says_so(place, tmp_path):
    recipe = write_rounds_recipe(tmp_path / "recipe.toml", ("heads",))
    run(place, tmp_path / "new", recipe, rounds=1)
    assert changed(place, tmp_path / "new") == {"tail"}


def test_the_same_seed_gives_the_same_bundle(place, learnt, tmp_path):
    recipe = write_rounds_recipe(tmp_path / "recipe.toml")
    again, _ = run(place, tmp_path / "again", recipe)
    assert again.digest == learnt[1].digest


def test_a_node_that_dies_is_named_and_the_run_goes_on(place, tmp_path):
    recipe = write_rounds_recipe(tmp_path / "recipe.toml")

    def dying(nodes: Nodes) -> None:
        victim = list(nodes.contexts)[1]
        heard = []

        def lost(node: int) -> bool:
            heard.append(node)
            return node == victim and heard.count(node) > 2  # it measured, and learnt once

        nodes.lost = lost

    _, events = run(place, tmp_path / "new", recipe, prepare=dying)
    rounds = [event for event in events if event["event"] == "round"]
    assert [event["answered"] for event in rounds] == [CLIENTS, CLIENTS - 1]
    assert [f["why"] for f in rounds[1]["failed"]] == ["no answer"]
    assert events[-1]["after"]["nodes"] == CLIENTS - 1
    Manifest.load(tmp_path / "new").verify_files(tmp_path / "new")


def test_a_node_with_another_bundle_is_told_so(place, tmp_path):
    recipe = write_rounds_recipe(tmp_path / "recipe.toml")
    write_learning_bundle(tmp_path / "other")
    fields = Manifest.load(tmp_path / "other").as_dict()
    from narrows.models.bundle import write_manifest

    write_manifest(tmp_path / "other", fields | {"name": "other"})

    def elsewhere(nodes: Nodes) -> None:
        next(iter(nodes.contexts.values())).node_config["bundle"] = str(tmp_path / "other")

    _, events = run(place, tmp_path / "new", recipe, prepare=elsewhere)
    failed = next(event for event in events if event["event"] == "round")["failed"]
    assert len(failed) == 1
    assert "fetch that bundle" in failed[0]["why"]


def test_nothing_stands_at_out_when_no_round_had_a_result(place, tmp_path):
    recipe = write_rounds_recipe(tmp_path / "recipe.toml")

    def deaf(nodes: Nodes) -> None:
        heard = []

        def lost(node: int) -> bool:
            heard.append(node)
            return len(heard) > CLIENTS

        nodes.lost = lost

    with pytest.raises(SessionError, match="no round had a result"):
        run(place, tmp_path / "new", recipe, prepare=deaf)
    assert not (tmp_path / "new").exists()


def test_under_masks_no_update_and_no_count_leaves_in_the_clear(place, learnt, tmp_path):
    """Secure aggregation of rounds and of the tables: the same bundle within its quantisation."""
    more = "[secure]\nclipping_norm = 2.0\nlevels = 32767\n"
    recipe = write_rounds_recipe(tmp_path / "secure.toml", more=more)
    replies = []

    def watched(nodes: Nodes) -> None:
        nodes.heard = lambda message: replies.append(message)

    run(place, tmp_path / "masked", recipe, prepare=watched)
    trained = [
        message
        for message in replies
        if message.metadata.message_type == "train" and message.metadata.src_node_id != SERVER_NODE
    ]
    assert trained
    assert all(not message.content.array_records for message in trained)
    masked = load_file(tmp_path / "masked" / "head.safetensors")
    clear = load_file(learnt[0] / "head.safetensors")
    for name, values in clear.items():
        assert np.abs(values - masked[name]).max() < 3e-3
    assert (tmp_path / "masked" / INT8_HEAD).exists()


def test_settings_are_refused_by_name(place, tmp_path):
    good = {
        "bundle": "b", "recipe": "encoder", "out": str(tmp_path / "new"), "rounds": 1,
        "least-clients": 1, "clients-per-round": 1.0, "timeout-seconds": 1.0, "seed": 0,
    }  # fmt: skip
    ServerSettings.of(good)
    for key, wrong in [("rounds", 0), ("clients-per-round", 1.5), ("bundle", ""), ("seed", "x")]:
        with pytest.raises(ConfigError, match=key):
            ServerSettings.of(good | {key: wrong})
    with pytest.raises(ConfigError, match="there already"):
        ServerSettings.of(good | {"out": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense = 1", "nonsense"),
        ("compressed = true\n[secure]\nclipping_norm = 1.0", "cannot be summed under masks"),
        ('[averaging]\nkind = "krum"', "averaging.kind"),
    ],
)
def test_a_wrong_recipe_names_its_key(tmp_path, text, message):
    local = "[local]\nepochs = 1\nlearning_rate = 1e-3\n"
    lines = text.splitlines()
    top = [line for line in lines[:1] if not line.startswith("[")]
    rest = lines[len(top) :]
    (tmp_path / "wrong.toml").write_text("\n".join(['name = "wrong"', *top, local, *rest]))
    with pytest.raises(ConfigError, match=message):
        load_rounds_recipe(str(tmp_path / "wrong.toml"))


def test_shipped_recipes_load():
    for name in ("encoder", "heads", "all"):
        assert load_rounds_recipe(name).name == name


def test_a_journal_that_is_being_written_is_read_to_its_last_whole_line(tmp_path):
    (tmp_path / "rounds.jsonl").write_text(json.dumps({"event": "began"}) + '\n{"event": "rou')
    assert read_journal(tmp_path) == [{"event": "began"}]


def test_compressed_updates_cost_a_fraction_and_learn_the_same_way(place, tmp_path):
    """Both ways; what every device holds already, the bundle, does not travel."""
    trains = ("encoder", "prior", "decoder", "rest")
    bytes_of, losses = {}, {}
    for compressed in (True, False):
        recipe = write_rounds_recipe(tmp_path / f"{compressed}.toml", trains, compressed)
        _, events = run(place, tmp_path / f"new-{compressed}", recipe, rounds=3)
        rounds = [event for event in events if event["event"] == "round"]
        assert all(event["answered"] == CLIENTS and not event["failed"] for event in rounds)
        bytes_of[compressed] = sum(event["bytes_up"] + event["bytes_down"] for event in rounds)
        losses[compressed] = rounds[-1]["metrics"]["loss"]
        assert losses[compressed] < rounds[0]["metrics"]["loss"]
        assert changed(place, tmp_path / f"new-{compressed}") == {"head", "tail"}
    assert bytes_of[True] < bytes_of[False] / 10
    assert losses[True] == pytest.approx(losses[False], rel=0.1)
