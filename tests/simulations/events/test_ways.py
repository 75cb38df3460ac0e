"""Ways in simulated time: what each sends, computes and misses, and that races say the same."""

from dataclasses import replace

import pytest

pytest.importorskip("simpy", reason="needs the server extra")

from machine_times import service_times
from simulated import COARSE, FINE, KNOWN, OWN, PICTURE, WHOLE, frames_of, scenario

from narrows.codec.manifest import Manifest
from narrows.edge.policy.baselines import FixedPolicy
from narrows.edge.policy.policy import DeadlinePolicy
from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import inference_pb2
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.events.ways import CHOICES, known_of, way_named
from narrows.simulations.events.world import ANSWER_BYTES, World
from narrows.simulations.links.link import open_link
from narrows.simulations.links.profile import profile_names
from narrows.simulations.links.race import Terms as RaceTerms
from narrows.simulations.links.race import race
from narrows.simulations.links.workload import averages
from narrows.simulations.scenarios.in_time import check_ways

NO_OWN = replace(KNOWN, menu=(FINE, COARSE, PICTURE, replace(OWN, accuracy=0.0)))
EVERY = ("fixed:0", "fixed:1", "jpeg:50", "local", "policy", "ewma", "oracle")


def at(**changes):
    """One device, a frame a second."""
    camera = {"devices": 1, "fps": 1.0, "link": "2mbit,20ms", "cpu_share": 0.5} | changes
    return scenario(classes={"camera": camera}, seconds=30.0)


def test_a_picture_sends_its_bytes_and_is_served_as_one():
    world = World(at(), service_times(), KNOWN, way_named("jpeg:50"), 0)
    world.run(world.end_ns / 1e9)
    frames = world.frames
    assert {f.status for f in frames} == {"OK"}
    assert {f.wire_bytes for f in frames} == {6040}
    assert world.devices[0].up.carried_bytes == 6040 * len(frames)
    assert {f.device_ns for f in frames} == {800_000}  # a JPEG of 0.4 ms on half a core, no head
    served = [f.served_ns - f.started_ns for f in frames]
    assert min(served) >= 0.95e6 * (12 + 4)  # batches of pictures, which take 6 ms longer
    packets = frames_of(at(), way=way_named("fixed:0"))
    assert max(f.served_ns - f.started_ns for f in packets) < min(served)


def test_alone_a_device_sends_nothing_and_no_link_makes_it_miss():
    cut = [{"kind": "link", "at_s": 0, "for_s": 60}]
    for told in (at(), at(link="1kbit,900ms"), scenario(faults=cut)):
        frames = frames_of(told, way=way_named("local"))
        assert {f.status for f in frames} == {"OK"}
        assert {(f.wire_bytes, f.sendings) for f in frames} == {(0, 0)}
        assert {f.answered_ns - f.due_ns for f in frames} == {40_000_000}  # 20 ms on half a core
        assert {f.answer.accuracy for f in frames} == {WHOLE.accuracy}


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_frames(name):
    def seen(seed):
        frames = frames_of(at(link="lora"), seed, way_named(name))
        return [(f.due_ns, f.answered_ns, str(f.choice), f.status) for f in frames]

    assert seen(3) == seen(3)
    assert seen(3) != seen(4)


@pytest.mark.parametrize("link", ["1kbit,10ms", "2mbit,20ms", "20kbit,30ms"])
@pytest.mark.parametrize("dead", [True, False])
def test_the_policy_answers_no_fewer_frames_in_time_than_any_way_that_sends(link, dead):
    faults = [{"kind": "link", "at_s": 8, "for_s": 15}] if dead else []
    told = scenario(
        classes={"camera": {"devices": 2, "fps": 1.0, "link": link}}, seconds=30.0, faults=faults
    )

    def in_time(name):
        frames = frames_of(told, way=way_named(name))
        return sum(f.status == "OK" and f.answered_ns - f.due_ns <= 500e6 for f in frames)

    assert in_time("policy") == len(frames_of(told)) >= max(map(in_time, EVERY[:3]))


def test_without_an_answer_of_its_own_a_policy_misses_what_the_link_loses():
    told = scenario(faults=[{"kind": "link", "at_s": 5, "for_s": 10}])
    frames = frames_of(told, way=way_named("policy"), known=NO_OWN)
    lost = [f for f in frames if f.status != "OK"]
    assert {f.status for f in lost} <= {"LINK", "EXPIRED"}
    assert lost
    assert all(4.4e9 <= f.due_ns <= 15.5e9 for f in lost)
    assert all(f.answer is None for f in lost)


def test_an_answer_of_its_own_stands_in_at_the_deadline():
    told = scenario(faults=[{"kind": "link", "at_s": 5, "for_s": 10}])
    frames = frames_of(told, way=way_named("policy"))
    assert {f.status for f in frames} == {"OK"}
    late = [f for f in frames if f.sendings and f.answer.kind == "local"]
    assert late
    assert {f.answered_ns - f.due_ns for f in late} == {500_000_000}


def test_a_frame_whose_turn_would_come_too_late_is_never_sent():
    told = at(link="16kbit,1ms", fps=4.0)
    frames = frames_of(told)
    assert {f.sendings for f in frames} == {0, 1}
    per_frame_ns = 1040 * 8 * 10**9 // 16_000
    for frame in frames:
        if frame.sendings:
            assert frame.sent_ns - frame.due_ns < 500e6
    assert sum(f.sendings for f in frames) <= 31e9 / per_frame_ns + 1


@pytest.mark.parametrize("link", ["lte", "lora", "24kbit,20ms"])
def test_no_way_is_better_than_the_one_that_knows_the_link(link):
    told = scenario(
        seconds=40.0, classes={"camera": {"devices": 3, "fps": 5.0, "link": link, "window": 64}}
    )

    def worth(name):
        frames = frames_of(told, way=way_named(name))
        in_time = [f for f in frames if f.status == "OK" and f.answered_ns - f.due_ns <= 500e6]
        return sum(f.answer.accuracy for f in in_time) / len(frames)

    best = worth("oracle")
    ways = {name: worth(name) for name in ("fixed:0", "fixed:1", "jpeg:50", "policy", "ewma")}
    assert best >= max(ways.values()) - 0.005
    if link in profile_names():
        assert ways["policy"] >= 0.97 * best


def test_an_oracle_plans_for_no_shared_line():
    camera = {"devices": 2, "fps": 1.0, "link": "lora", "shared": True}
    with pytest.raises(ConfigError, match="camera devices share a line"):
        check_ways(scenario(ways=("oracle",), classes={"camera": camera}), KNOWN)


def exact(server_ms: float) -> ServiceTimes:
    """Everything but serving takes no time, and serving always the same."""
    return ServiceTimes(
        bundle="made up", machine={}, date="2026-11-28", threads=1, max_batch=1,
        batch_ms={1: (server_ms,)}, ranks=(0.5,), handover_ms=(0.0,),
        answer_ms={1: (0.0,)}, idle_ms=(0.0,),
        busy_ms=(0.0,), loop_ms=0.0, head_ms=2.0, whole_ms=20.0, encode_ms={50: 0.0},
        picture_batch_ms={1: (server_ms,)},
    )  # fmt: skip


@pytest.mark.parametrize("link", ["60kbit,20ms", "30kbit,30ms", "2mbit,5ms"])
@pytest.mark.parametrize("name", ["fixed:0", "fixed:1", "policy"])
def test_one_device_is_the_race(name, link):
    """The same policy over the same line: the race of policies, frame by frame."""
    told = scenario(
        seconds=60.0, deadline_ms=300, server={"max_batch": 1},
        classes={"camera": {"devices": 1, "fps": 5.0, "link": link, "window": 64}},
    )  # fmt: skip
    world = World(told, exact(4.0), KNOWN, way_named(name), 0)
    world.run(world.end_ns / 1e9)
    terms = RaceTerms(len(world.frames), 5.0, 0.3, 0.002, 0.004, ANSWER_BYTES)
    if name == "policy":
        theirs = DeadlinePolicy(KNOWN.menu, 0.3, 1 / 5.0)
    else:
        theirs = FixedPolicy(KNOWN.choice("packet", int(name[-1])))
    found = race(theirs, open_link(link), averages(KNOWN.menu), terms).as_dict()
    frames = world.frames
    chosen = {str(f.choice): 0.0 for f in frames}
    for frame in frames:
        chosen[str(frame.choice)] += 1 / len(frames)
    assert chosen == pytest.approx(found["chosen"], abs=0.02)
    missed = sum(f.status != "OK" or f.answered_ns - f.due_ns > 300e6 for f in frames)
    assert missed / len(frames) == pytest.approx(found["missed"], abs=0.02)
    remote = sorted(f.answered_ns - f.due_ns for f in frames if f.answer in KNOWN.menu[:3])
    if remote:
        assert remote[len(remote) // 2] / 1e6 == pytest.approx(found["p50_ms"], abs=0.5)


def test_what_a_bundle_lacks_is_told_before_anything_runs(tiny_bundle):
    known = known_of(Manifest.load(tiny_bundle))
    wanted = {
        "fixed:7": "way 'fixed:7': tiny has the operating points 0, 1, 2",
        "jpeg:55": "way 'jpeg:55': of tiny pictures of quality none were measured",
    }
    for name, message in wanted.items():
        with pytest.raises(ConfigError, match=message):
            check_ways(scenario(ways=(name,)), known)
    unmeasured = exact(1.0).model_copy(update={"whole_ms": None})
    with pytest.raises(ConfigError, match="way 'local': the service times have no whole_ms"):
        check_ways(scenario(ways=("local",)), known, unmeasured)


@pytest.mark.parametrize(
    "text",
    ["jpeg:0", "jpeg:101", "jpeg:", "jpeg:x", "fixed:", "local:1", "policy:2", "oracle:1", "guess"],
)
def test_a_way_that_is_none_is_told(text):
    with pytest.raises(ConfigError, match="way "):
        way_named(text)


def test_every_way_has_a_name():
    assert {name.partition(":")[0] for name in EVERY} == set(CHOICES)


def test_an_answer_has_the_bytes_of_a_servers():
    result = inference_pb2.Result(frame_id=1000, answered_by="camera-server/12345", queue_depth=2)
    for index, name in enumerate(("tench", "English springer", "cassette player", "church", "gas")):
        result.classification.labels.add(index=index, name=name, probability=0.2)
    timing = result.timing
    timing.received_ns = timing.sent_ns = 10**14
    timing.queue_ns = timing.decode_ns = timing.tail_ns = timing.reply_ns = 3 * 10**6
    timing.batch_size = 3
    assert pytest.approx(result.ByteSize() + 14, rel=0.1) == ANSWER_BYTES
