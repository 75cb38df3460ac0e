"""What a coordinator plans, and what it keeps to go on with."""

import json
import stat
from dataclasses import replace

import numpy as np
import pytest
from vertical_group import terms_of

pytest.importorskip("torch", reason="needs the server extra")

import torch

from narrows.errors import ConfigError, SessionError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical.checkpoint import (
    FAR,
    Checkpoint,
    Epoch,
    Progress,
    Session,
    load_top,
)
from narrows.server.vertical.gradients import Gradients
from narrows.server.vertical.plan import Plan
from narrows.server.vertical.top import Learner

TERMS = terms_of(f"party-{n}" for n in range(5))
SESSION = Session(TERMS, [f"record {i}" for i in range(26)], ("no", "yes"), (4,))


def taught(learner: Learner, steps: int, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    return [
        learner.learn(rng.normal(size=(6, TERMS.width)), rng.integers(0, 2, 6)).loss
        for _ in range(steps)
    ]


@pytest.fixture
def kept(tmp_path):
    """A session after three steps."""
    checkpoint, learner = Checkpoint(tmp_path / "out"), SESSION.learner(seed=1)
    checkpoint.begin(SESSION)
    taught(learner, 3)
    progress = Progress(3, 5, [Epoch(0, 0.5, 0.75, 1.5), Epoch(1, 0.4, None, 2.0)], [0.25], 2.5)
    gradients = Gradients()
    gradients.add(4, 1, np.ones(2, np.float32), {0, 1})
    gradients.add(5, 2, np.arange(3, dtype=np.float32), {0, 3})
    checkpoint.save(SESSION, learner, progress, gradients)
    return checkpoint, learner, progress, gradients


def test_a_session_goes_on_where_it_was(kept):
    checkpoint, learner, progress, gradients = kept
    session = checkpoint.session()
    assert session == SESSION
    again = session.learner(seed=2)  # its first weights do not matter
    found, told = checkpoint.resume(session, again)
    assert found == replace(progress, round=progress.round + FAR)
    assert told.latest == gradients.latest
    assert [[g.round for g in told.missing(n)] for n in (0, 1, 3)] == [[5], [], [5]]
    assert taught(again, 4, seed=7) == taught(learner, 4, seed=7)  # Adam remembers as it did
    for a, b in zip(again.top.parameters(), learner.top.parameters(), strict=True):
        assert torch.equal(a, b)


def test_before_the_first_step_there_is_nothing_that_adam_remembers(tmp_path):
    checkpoint, learner = Checkpoint(tmp_path / "out"), SESSION.learner(seed=1)
    checkpoint.begin(SESSION)
    checkpoint.save(SESSION, learner, Progress(), Gradients())
    again = SESSION.learner(seed=2)
    found, told = checkpoint.resume(SESSION, again)
    assert (found, told.latest) == (Progress(round=FAR), [])
    assert taught(again, 2) == taught(learner, 2)


def test_a_folder_without_a_session_begins_one_and_is_not_made_by_looking(tmp_path):
    assert Checkpoint(tmp_path / "none").session() is None
    assert not (tmp_path / "none").exists()


def test_its_folder_is_for_its_owner(kept):
    assert stat.S_IMODE(kept[0].folder.stat().st_mode) == 0o700
    assert sorted(file.name for file in kept[0].folder.iterdir()) == [
        "session.json", "top.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"\xff\xfe", b"[1]", b'{"terms": 5, "ids": [], "classes": [], "hidden": []}'],
)
def test_a_damaged_session_is_refused(kept, text):
    (kept[0].folder / "session.json").write_bytes(text)
    with pytest.raises(SessionError, match=r"not a session: .*another folder begins anew"):
        kept[0].session()


def test_altered_terms_are_refused(kept):
    path = kept[0].folder / "session.json"
    told = json.loads(path.read_text())
    told["terms"] = told["terms"].replace('"width":3', '"width":-3')
    path.write_text(json.dumps(told))
    with pytest.raises(SessionError, match="-3 sums a record"):
        kept[0].session()


def test_a_damaged_or_foreign_network_is_refused(kept):
    checkpoint, *_ = kept
    path = checkpoint.folder / "top.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[: len(whole) // 2], whole[40:], b"\0" * 100):
        path.write_bytes(damaged)
        with pytest.raises(SessionError, match="cannot go on from it"):
            checkpoint.resume(SESSION, SESSION.learner(seed=0))
    path.write_bytes(whole)
    other = replace(SESSION, terms=replace(TERMS, session="f" * 32))
    with pytest.raises(SessionError, match="of another session"):
        checkpoint.resume(other, other.learner(seed=0))
    wider = replace(SESSION, hidden=(5,))
    with pytest.raises(SessionError, match="cannot go on from it"):
        checkpoint.resume(SESSION, wider.learner(seed=0))
    path.unlink()
    with pytest.raises(SessionError, match="cannot go on from it"):
        checkpoint.resume(SESSION, SESSION.learner(seed=0))


def test_the_network_alone_is_loaded_to_predict_with(kept, tmp_path):
    checkpoint, learner, *_ = kept
    fresh = SESSION.learner(seed=9)
    load_top(checkpoint.folder, fresh)
    sums = np.random.default_rng(0).normal(size=(4, TERMS.width))
    np.testing.assert_array_equal(fresh.logits(sums), learner.logits(sums))
    with pytest.raises(SessionError, match="no top network of this shape"):
        load_top(checkpoint.folder, replace(SESSION, hidden=(9,)).learner(seed=0))
    with pytest.raises(SessionError, match="no top network"):
        load_top(tmp_path / "none", fresh)


# --- plans ---


def test_a_plan_packs_as_many_segments_as_its_parties_allow():
    terms = Plan(12, stragglers=4, wrong=1).terms(
        "0" * 32, [f"p{n}" for n in range(12)], [2] * 12, 99
    )
    parameters = terms.bounds.parameters
    assert (parameters.segments, parameters.recovery_threshold, terms.wanted) == (2, 5, 7)
    assert terms.schedule.held_out == 20
    assert terms.bounds.scale_bits == 32  # the finest of both


def test_a_plan_takes_scales_that_no_sum_of_these_columns_can_pass():
    names = [f"p{n}" for n in range(9)]
    wide = Plan(9, factors=2, data_limit=64.0).terms("0" * 32, names, [50] * 9, 99)
    assert 4 <= wide.bounds.data.scale_bits < 16
    assert 2 * wide.bounds.largest_sum < wide.bounds.parameters.prime
    with pytest.raises(ConfigError, match="must be below p/2"):
        Plan(9, factors=2, data_limit=1e6).terms("0" * 32, names, [5000] * 9, 99)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"parties": 3, "stragglers": 2}, "3 parties cannot do S=2, T=1, D=2, A=0"),
        ({"parties": 4, "factors": 2}, "one segment needs N >= D\\*T\\+1\\+S\\+2A = 6"),
        ({"parties": 5, "privacy": 2}, "cannot do"),
        ({"parties": 5, "wrong": 1}, "cannot do"),
        ({"waiting": "drop"}, "--wait drop on secret shares: expected threshold or all"),
        ({"waiting": "threshold", "protected": False}, "in the clear: expected all or drop"),
        ({"waiting": "never"}, "--wait never"),
        ({"held_out": 1.0}, "1.0 of the records held out"),
        ({"held_out": -0.1}, "-0.1 of the records"),
        ({"parties": 2, "protected": False, "waiting": "all"}, "recovery threshold"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changed, said):
    with pytest.raises(ConfigError, match=said):
        Plan(**({"parties": 6} | changed))


def test_in_the_clear_parties_have_no_segments_and_may_have_a_layer_of_their_own():
    plan = Plan(3, protected=False, waiting="asynchronous", party_hidden=8)
    terms = plan.terms("0" * 32, ["a", "b", "c"], [1, 2, 3], 40)
    assert (terms.schedule.segments, terms.hidden, terms.protected) == (1, 8, False)


def test_to_predict_every_record_is_held_out():
    terms = Plan(5, epochs=0).terms("0" * 32, list("abcde"), [1] * 5, 30)
    assert terms.schedule.held_out == 30
    assert not any(terms.schedule.step(i).training for i in range(len(terms.schedule)))


# --- parties that are away ---


def shares(round: int) -> pb.Shares:
    return pb.Shares(round=round, learnt_round=round - 1, sealed=[b"one", b"two"])


def test_what_stands_in_for_parties_that_are_away_outlives_the_coordinator(kept):
    checkpoint = kept[0]
    checkpoint.hold({1: shares(4), 3: shares(7)})
    checkpoint.hold({3: shares(7), 4: shares(8)})  # the first is back
    again = Checkpoint(checkpoint.folder)
    assert again.held() == {3: shares(7), 4: shares(8)}
    again.hold({4: shares(9)})
    assert Checkpoint(checkpoint.folder).held() == {4: shares(9)}
    (checkpoint.folder / "shares-4").write_bytes(b"\xff")
    with pytest.raises(SessionError, match="cannot go on from its shares"):
        Checkpoint(checkpoint.folder).held()
