"""The coordinator's rounds, the parties in one process: who is waited for, named, left out."""

from dataclasses import replace

import numpy as np
import pytest
from vertical_coordinator import Ask, Decoding, Room, all_steps, shared_sums, without_ray
from vertical_group import COMMON, Group, terms_of

pytest.importorskip("ray", reason="needs the server extra")

from narrows.errors import SessionError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical.checkpoint import Progress
from narrows.server.vertical.coordinator import ATTEMPTS, Coordinator
from narrows.server.vertical.decoding import DecodeActor
from narrows.server.vertical.gradients import REMEMBERED, Gradients
from narrows.server.vertical.standing import Standing
from narrows.server.vertical.top import NO_LABEL, Learner
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.fixed_point import FixedPoint
from narrows.sharing.parameters import SharingParameters
from narrows.sharing.terms import Terms

SEVEN = (2, 1, 1, 2, 1, 1, 1)  # of seven parties: K = 1 or 2, T = 1


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch):
    without_ray(monkeypatch)


def room(tmp_path, segments: int = 1, wrong: int = 0, held_out: int = 6, **settings) -> Room:
    """Seven parties: with one segment R = 3, with two R = 5."""
    group = Group(tmp_path, SEVEN, **settings)
    kind = FixedPoint(12, 4.0)
    bounds = SessionBounds(SharingParameters(7, segments, 1, 2), kind, kind, SEVEN)
    base = terms_of(group.names, SEVEN)
    schedule = base.schedule.__class__(COMMON, held_out, segments, 4, 2, seed=3)
    terms = Terms(base.session, tuple(group.names), bounds, 3, schedule, base.learning, wrong)
    return Room(group.begin(terms))


def coordinator(of: Room, sums, labels=None) -> Coordinator:
    terms = of.group.terms
    learner = Learner(terms.width, 2, (4,), terms.learning.rate, seed=0)
    labels = np.arange(COMMON) % 2 if labels is None else labels
    return Coordinator(terms, labels, learner, sums, sums._standing, Progress(), Gradients())


def in_the_clear(of: Room, step: int, without=()) -> np.ndarray:
    """(K * b, e) as the coordinator has them."""
    scale = 0.5**of.group.terms.bounds.scale_bits
    return of.group.in_the_clear(step, without).astype(float).reshape(-1, 3) * scale


# --- a round on shares ---


def test_a_round_gives_the_sums_in_the_clear(tmp_path):
    of = room(tmp_path)
    sums = shared_sums(of)
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0))
    assert sums.unverified == 0
    assert sums._standing.named == {"away": [], "wrong": [], "excluded": []}
    assert sums.bytes > 0


@pytest.mark.parametrize("silent", [{0}, {1, 4}, {0, 2, 5, 6}])
def test_results_that_never_come_change_nothing(tmp_path, silent):
    of = room(tmp_path)
    of.way = lambda n, question, answer: (
        None if n in silent and question.HasField("evaluate") else answer
    )
    sums = shared_sums(of)
    for round in (1, 2):
        np.testing.assert_array_equal(
            sums.sums(round, round - 1, Gradients()), in_the_clear(of, round - 1)
        )
    parties = sums._standing.parties
    assert {n for n, party in enumerate(parties) if party.late == 2} == silent
    assert {n for n, party in enumerate(parties) if party.answered == 2} == set(range(7)) - silent


def test_without_surplus_a_round_is_counted_as_unverified(tmp_path):
    of = room(tmp_path, segments=2)
    of.way = lambda n, question, answer: None if n > 4 else answer
    sums = shared_sums(of)
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0, without=(5, 6)))
    assert sums.unverified == 1


def test_too_few_results_are_no_round_and_the_step_is_done_again(tmp_path):
    of = room(tmp_path, segments=2)
    gone = {1, 2, 3}
    of.way = lambda n, question, answer: (
        None if n in gone and question.HasField("evaluate") else answer
    )
    sums = shared_sums(of)
    session = coordinator(of, sums)
    done = []

    def wait_for(parties: int) -> None:
        assert parties == 5
        if session.progress.round == 1:
            gone.clear()

    session.run(wait_for, lambda now: done.append((now.progress.step, now.progress.round)))
    assert done[0] == (1, 2)  # the first step took two rounds
    assert [step for step, _ in done] == list(range(1, len(of.group.terms.schedule) + 1))
    assert len(session.round_s) == len(done)


def test_a_step_that_fails_again_and_again_ends_the_session_and_says_who_was_found_out(tmp_path):
    of = room(tmp_path)

    def garble(n, question, answer):
        if answer.HasField("response") and n < 4:
            values = np.random.default_rng([n, question.ask]).integers(0, 1 << 60, 12, np.uint64)
            answer.response.values = values.tobytes()
        return answer

    of.way = garble
    session = coordinator(of, shared_sums(of))
    with pytest.raises(SessionError, match=f"step 0 failed {ATTEMPTS} times with 3 parties here"):
        all_steps(session)


def test_a_silent_partys_last_shares_stand_in_and_it_is_back_when_they_come_again(tmp_path):
    of = room(tmp_path)
    silent = set()
    of.way = lambda n, question, answer: None if n in silent else answer
    sums, gradients = shared_sums(of), Gradients()
    sums.sums(1, 0, gradients)
    silent.add(3)
    told = of.group.gradient(1, 0)
    gradients.add(1, 0, np.frombuffer(told.values, "<f4"), range(7))
    before = of.group.parties[3].kept.learnt()

    def learn_nothing(n, question, answer):  # asked, it would learn; a stopped process is not asked
        return None if n in silent else answer

    of.way = learn_nothing
    sums_then = sums.sums(2, 1, gradients)
    assert sums._standing.named["away"] == ["party-3"]
    assert sums._standing.expected == [0, 1, 2, 4, 5, 6]
    of.group.parties[3].kept.keep_weights(before, of.group.parties[3]._rounds._adam, 0)
    np.testing.assert_array_equal(sums_then, in_the_clear(of, 1))
    silent.clear()
    of.group.restart(3)
    np.testing.assert_array_equal(sums.sums(3, 2, gradients), in_the_clear(of, 2))
    assert sums._standing.named["away"] == []
    assert sums._standing.parties[3].missed == 1


def test_shares_that_come_after_their_round_stand_in_for_newer_ones(tmp_path):
    of = room(tmp_path)
    sums, gradients, slow = shared_sums(of), Gradients(), {3}
    sums.sums(1, 0, gradients)
    of.slow = lambda party: party in slow
    expected = sums.sums(2, 1, gradients)  # with its weights of round 1, which are as they were
    np.testing.assert_array_equal(expected, in_the_clear(of, 1))
    assert sums.fresh == {0, 1, 2, 4, 5, 6}
    of.asked.clear()
    sums.sums(3, 2, gradients)
    assert not [kind for party, kind in of.asked if party == 3]  # it still works on the other
    assert (sums._held[3].round, sums._standing.named["away"]) == (1, ["party-3"])
    slow.clear()
    np.testing.assert_array_equal(sums.sums(4, 3, gradients), in_the_clear(of, 3))
    assert (sums._held[3].round, sums._standing.named["away"]) == (4, [])


def test_where_too_many_are_slow_a_round_waits_for_their_shares(tmp_path):
    of = room(tmp_path, segments=2)
    sums, gradients = shared_sums(of), Gradients()
    sums.sums(1, 0, gradients)
    of.slow = lambda party: party in (2, 3, 5)  # four are left to compute, R = 5
    for round in (2, 3, 4):
        np.testing.assert_array_equal(
            sums.sums(round, round - 1, gradients), in_the_clear(of, round - 1)
        )
    assert len(sums.fresh) == 5


def test_a_party_that_was_never_there_is_no_part_of_the_sum(tmp_path):
    of = room(tmp_path)
    of.way = lambda n, question, answer: None if n == 6 else answer
    sums = shared_sums(of)
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0, without=(6,)))


def test_where_t_or_fewer_share_anew_nobody_is_asked_to_compute(tmp_path):
    of = room(tmp_path)
    sums = shared_sums(of)
    sums.sums(1, 0, Gradients())
    of.asked.clear()
    of.way = lambda n, question, answer: answer if n == 0 else None
    assert sums.sums(2, 1, Gradients()) is None
    assert {kind for _, kind in of.asked} == {"share"}


def garbage(only: set[int], seed: int = 0):
    """Random field elements in the place of their results."""
    rng = np.random.default_rng(seed)

    def way(n, question, answer):
        if n in only and answer.HasField("response"):
            count = len(answer.response.values) // 8
            values = rng.integers(0, (1 << 61) - 1, count, np.uint64)
            answer.response.values = values.tobytes()
        return answer

    return way


def test_a_wrong_result_is_corrected_its_sender_named_and_asked_for_no_more(tmp_path):
    of = room(tmp_path, wrong=1)
    of.way = garbage({2})
    sums = shared_sums(of)
    assert sums.wanted == 5  # R + 2A
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0))
    assert sums._standing.named["wrong"] == ["party-2"]
    assert sums.wanted == 4  # with six left, two may still be slow, and a second lie would show
    of.asked.clear()
    np.testing.assert_array_equal(sums.sums(2, 1, Gradients()), in_the_clear(of, 1))
    assert (2, "share") in of.asked
    assert (2, "evaluate") not in of.asked


def test_more_responses_are_waited_for_where_those_that_came_cannot_be_right(tmp_path):
    of = room(tmp_path)  # A = 0: three responses end a round, two more correct one
    of.way = garbage({0})
    of.late = lambda party: party >= 3
    sums = shared_sums(of)
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients())[:0], np.zeros((0, 3)))
    assert sums.unverified == 1  # nothing was beyond R to see it by
    of.late = lambda party: party >= 4  # one beyond: it shows, and two more tell who
    np.testing.assert_array_equal(sums.sums(2, 1, Gradients()), in_the_clear(of, 1))
    assert sums._standing.named["wrong"] == ["party-0"]


def test_a_response_to_another_round_is_wrong_whatever_it_holds(tmp_path):
    of = room(tmp_path, wrong=1)
    sums = shared_sums(of)
    kept = {}

    def replay(n, question, answer):
        if answer.HasField("response") and n == 4:
            kept.setdefault(0, pb.PartyMessage.FromString(answer.SerializeToString()))
            return kept[0]
        return answer

    of.way = replay
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0))
    assert sums._standing.named["wrong"] == []
    np.testing.assert_array_equal(sums.sums(2, 1, Gradients()), in_the_clear(of, 1))
    assert sums._standing.named["wrong"] == ["party-4"]


def test_a_holder_whose_shares_open_nowhere_is_excluded(tmp_path):
    of = room(tmp_path)

    def spoil(n, question, answer):
        if n == 5 and answer.HasField("shares"):
            answer.shares.sealed[:] = [b"nothing of the kind"] * 7
        return answer

    of.way = spoil
    sums = shared_sums(of)
    assert sums.sums(1, 0, Gradients()) is None
    assert sums._standing.named["excluded"] == ["party-5"]
    of.asked.clear()
    np.testing.assert_array_equal(sums.sums(2, 0, Gradients()), in_the_clear(of, 0, without=(5,)))
    assert (5, "share") not in of.asked
    assert (5, "evaluate") in of.asked  # it still computes


@pytest.mark.parametrize("holder", [0, 6])
def test_shares_that_open_and_are_random_stop_a_session_and_spoil_no_sum(tmp_path, holder):
    """They lie on no polynomial of the code's degree, and that shows; not who sent them."""
    of = room(tmp_path)
    rounds = of.group.parties[holder]._rounds

    def share(asked):
        rng = np.random.default_rng(asked.round)
        words = 3 * (SEVEN[holder] + len(rounds._step(asked.step).rows))
        kind = rounds._kind("round")
        sealed = [
            rounds._channel.seal(
                name, kind, asked.round, rng.integers(0, 1 << 60, words, np.uint64).tobytes()
            )
            for name in of.group.names
        ]
        return pb.Shares(round=asked.round, sealed=sealed)

    rounds.share = share
    sums = shared_sums(of)
    session = coordinator(of, sums)
    with pytest.raises(SessionError, match="step 0 failed"):
        all_steps(session)
    assert sums._standing.named == {"away": [], "wrong": [], "excluded": []}


def test_t_parties_alone_get_nobody_excluded(tmp_path):
    of = room(tmp_path)

    def slander(n, question, answer):
        if n == 1 and answer.HasField("response"):
            return pb.PartyMessage(complaint=pb.Complaint(holders=[0, 0, 3, 99]))
        return answer

    of.way = slander
    sums = shared_sums(of)
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0))
    assert sums._standing.named["excluded"] == []
    of.way = lambda n, q, a: slander(1 if n in (1, 2) else n, q, a)
    sums.sums(2, 1, Gradients())  # T + 1 of them
    assert sums._standing.named["excluded"] == ["party-0", "party-3"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shares: shares.__setattr__("round", 7),
        lambda shares: shares.sealed.pop(),
        lambda shares: shares.sealed.extend([b""]),
    ],
)
def test_shares_that_are_not_one_for_each_party_of_this_round_count_as_missed(tmp_path, spoil):
    of = room(tmp_path)

    def way(n, question, answer):
        if n == 3 and answer.HasField("shares"):
            spoil(answer.shares)
        return answer

    of.way = way
    sums = shared_sums(of)
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0, without=(3,)))
    assert sums._standing.named["away"] == ["party-3"]


def test_waiting_for_all_waits_for_all_but_those_found_wrong(tmp_path):
    of = room(tmp_path, wrong=1)
    of.late = lambda party: party > 2
    of.way = garbage({2})
    sums = shared_sums(of, "all")
    assert sums.wanted == 7
    np.testing.assert_array_equal(sums.sums(1, 0, Gradients()), in_the_clear(of, 0))
    assert [party.answered for party in sums._standing.parties] == [1] * 7
    assert sums.wanted == 6


# --- decoding ---


def decoded(of: Room, spoil=lambda responses: None, parts=None):
    """The verdicts on one round's bodies, some of them changed before; by parts of the rows."""
    group = of.group
    answers = group.evaluate(1, 0, group.share(1, 0))
    responses = {n: answer.response for n, answer in answers.items()}
    spoil(responses)
    rows = len(group.terms.schedule.step(0).rows)
    digest = group.terms.versions_digest(1, [1] * 7)
    actor = DecodeActor(group.terms.encoded)
    bodies = [responses[n].SerializeToString() for n in sorted(responses)]
    about = 1, rows, digest
    verdicts = [
        actor.decode(about, part, sorted(responses), *bodies) for part in parts or [(0, rows)]
    ]
    return verdicts if parts else verdicts[0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda response: response.__setattr__("round", 2),
        lambda response: response.__setattr__("versions_digest", b"\0" * 32),
        lambda response: response.__setattr__("versions_digest", b""),
        lambda response: response.__setattr__("values", b""),
        lambda response: response.__setattr__("values", response.values[:-1]),
        lambda response: response.__setattr__("values", response.values + b"\0" * 8),
        lambda response: response.__setattr__("values", b"\xff" * len(response.values)),
        lambda response: response.Clear(),
    ],
)
def test_a_body_that_is_no_response_of_the_round_is_left_out_and_named(tmp_path, spoil):
    of = room(tmp_path)
    verdict = decoded(of, lambda responses: spoil(responses[6]))
    assert verdict.wrong == (6,)
    assert verdict.surplus == 3
    assert verdict.sums is not None


def test_each_actor_decodes_its_rows_of_the_same_sums(tmp_path):
    of = room(tmp_path)
    parts = decoded(of, parts=[(0, 1), (1, 3), (3, 4)])
    whole = np.concatenate([part.sums for part in parts], axis=1).astype(object)
    p = of.group.terms.bounds.parameters.prime
    assert (whole == of.group.in_the_clear(0) % p).all()


def test_a_verdict_without_sums_says_what_is_missing(tmp_path):
    def lose(responses):
        for n in range(5):
            del responses[n]

    verdict = decoded(room(tmp_path), lose)
    assert verdict.sums is None
    assert "2 responses came and R = 3 are needed" in verdict.problem

    def spoil(responses):
        lose(responses)
        responses[6].values = b""

    verdict = decoded(room(tmp_path / "again"), spoil)
    assert (verdict.sums, verdict.wrong) == (None, (6,))


# --- the loop ---


def test_a_session_takes_all_steps_and_waits_for_as_many_as_it_needs(tmp_path):
    of = room(tmp_path)
    sums = shared_sums(of)
    session = coordinator(of, sums)
    waited = all_steps(session)
    assert waited == [3] * len(of.group.terms.schedule)
    assert [epoch.epoch for epoch in session.progress.epochs] == [0, 1]
    assert session.predictions().shape == (6, 2)
    samples = {name: value for name, labels, value in session.samples() if not labels}
    assert samples["narrows_federated_step"] == samples["narrows_federated_steps"] == len(waited)
    assert 0 <= samples["narrows_federated_accuracy"] <= 1
    each = [labels["party"] for name, labels, _ in session.samples() if name.endswith("away")]
    assert each == of.group.names


@pytest.mark.parametrize("held_out", [6, 5])  # of 26: with 5, a segment is filled up
def test_what_all_learn_is_what_one_network_over_all_columns_learns(tmp_path, held_out):
    """The parties' weights, against torch; but for float32 and rounding."""
    torch = pytest.importorskip("torch")
    of = room(tmp_path, segments=2, held_out=held_out)
    session = coordinator(of, shared_sums(of))
    first = [party.kept.learnt()[0] for party in of.group.parties]
    twin = Learner(3, 2, (4,), of.group.terms.learning.rate, seed=0)
    weights = torch.tensor(np.concatenate(first), dtype=torch.float64, requires_grad=True)
    top = twin.top.double()
    optimiser = torch.optim.Adam([weights, *top.parameters()], of.group.terms.learning.rate)
    table = np.concatenate([party.kept.table() for party in of.group.parties], axis=1)
    schedule = of.group.terms.schedule
    x, y = schedule.arrange(table), schedule.arrange(np.arange(COMMON) % 2 + 1) - 1
    for index in range(len(schedule)):
        step = schedule.step(index)
        if step.training:
            optimiser.zero_grad()
            logits = top(torch.from_numpy(x[:, step.rows].reshape(-1, sum(SEVEN))) @ weights)
            labels = torch.from_numpy(y[:, step.rows].reshape(-1))
            torch.nn.functional.cross_entropy(logits, labels, ignore_index=NO_LABEL).backward()
            optimiser.step()
    all_steps(session)
    learnt = np.concatenate([party.kept.learnt()[0] for party in of.group.parties])
    np.testing.assert_allclose(learnt, weights.detach().numpy(), atol=2e-3)
    assert np.abs(learnt - np.concatenate(first)).max() > 0.05


def test_every_training_label_is_learnt_from_once_an_epoch_and_no_filled_up_row(tmp_path):
    of = room(tmp_path, segments=2, held_out=5)  # 21 training records in segments of 11
    session = coordinator(of, shared_sums(of), np.arange(COMMON) % 2)
    taught, learn = [], session.learner.learn
    session.learner.learn = lambda sums, labels: taught.append(labels) or learn(sums, labels)
    all_steps(session)
    counts = np.unique(np.concatenate(taught), return_counts=True)
    assert dict(zip(*(each.tolist() for each in counts), strict=True)) == {
        NO_LABEL: 2, 0: 2 * 11, 1: 2 * 10,
    }  # fmt: skip


def test_records_without_a_label_teach_nothing(tmp_path):
    of = room(tmp_path, segments=2)
    session = coordinator(of, shared_sums(of), np.full(COMMON, NO_LABEL))
    before = [p.detach().clone() for p in session.learner.top.parameters()]
    all_steps(session)
    after = list(session.learner.top.parameters())
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert [epoch.accuracy for epoch in session.progress.epochs] == [None, None]


def test_with_nothing_held_out_there_are_no_predictions(tmp_path):
    of = room(tmp_path)
    group = of.group
    schedule = group.terms.schedule.__class__(COMMON, 0, 1, 4, 1, seed=3)
    of.group.begin(replace(group.terms, schedule=schedule))
    session = coordinator(of, shared_sums(of))
    all_steps(session)
    assert len(session.predictions()) == 0
    assert session.progress.epochs[0].accuracy is None


def test_a_resumed_pass_over_the_held_out_records_begins_anew(tmp_path):
    of = room(tmp_path)
    session = coordinator(of, shared_sums(of))
    schedule = of.group.terms.schedule
    held_out = [i for i in range(len(schedule)) if not schedule.step(i).training]
    assert held_out[1] == held_out[0] + 1
    session.progress.step = held_out[1]
    all_steps(session)
    assert len(session.round_s) == len(schedule) - held_out[0]
    assert len(session.predictions()) == 6


# --- gradients, standing ---


def test_a_party_is_told_what_it_has_not_learnt_from_as_far_as_it_is_known():
    gradients = Gradients()
    for round in range(1, REMEMBERED + 11):
        gradients.add(round, round - 1, np.zeros(2, np.float32), {0, 1})
    assert [g.round for g in gradients.missing(0)] == list(range(11, REMEMBERED + 11))
    gradients.learnt(0, REMEMBERED)
    gradients.learnt(0, 3)  # late news
    assert [g.round for g in gradients.missing(0)] == list(range(REMEMBERED + 1, REMEMBERED + 11))
    assert [told.gradient.round for told in gradients.latest] == [REMEMBERED + 10]
    assert len(gradients.missing(1)) == REMEMBERED
    again = Gradients(gradients.latest)
    assert [g.round for g in again.missing(0)] == [REMEMBERED + 10]


def test_a_party_learns_from_no_round_that_its_weights_of_then_were_not_in():
    gradients = Gradients()
    for round, fresh in ((1, {0, 1}), (2, {0}), (3, {0, 1})):
        gradients.add(round, round - 1, np.zeros(2, np.float32), fresh)
    assert [g.round for g in gradients.missing(0)] == [1, 2, 3]
    assert [g.round for g in gradients.missing(1)] == [1, 3]


def test_standing_counts_rounds_and_names_who_was_found_out():
    standing = Standing(["a", "b", "c"])
    standing.answered({0: 0.5, 2: 0.1}, [0, 1, 2])
    standing.answered({0: 0.7}, [0, 1])
    counts = [(party.answered, party.late) for party in standing.parties]
    assert counts == [(2, 0), (0, 2), (1, 0)]
    standing.shared(1, in_time=False)
    standing.shared(1, in_time=False)
    standing.found_wrong([2])
    standing.exclude(0, 2)
    assert standing.named == {"away": ["b"], "wrong": ["c"], "excluded": ["a"]}
    assert (standing.holders, standing.expected, standing.evaluators) == ([1, 2], [2], [0, 1])
    standing.shared(1, in_time=True)
    assert standing.expected == [1, 2]
    seconds = {x[1]["party"]: x[2] for x in standing.samples() if x[0].endswith("answer_seconds")}
    assert seconds == pytest.approx({"a": 0.6, "b": 0.0, "c": 0.1})


def test_the_stand_ins_are_asked_as_the_real_ones_are():
    """`Ask` and `Decoding` have the methods that the loop calls, by the same parameters."""
    from inspect import signature

    from narrows.server.vertical.asking import Question
    from narrows.server.vertical.decoding import Decoders

    for real, stand_in in ((Question, Ask), (Decoders, Decoding)):
        for name in ("wait", "wait_for", "decode"):
            if hasattr(real, name):
                mine, theirs = (signature(getattr(c, name)) for c in (stand_in, real))
                assert list(mine.parameters) == list(theirs.parameters)


def test_a_party_that_is_away_is_part_of_the_sum_after_the_coordinator_ended_too(tmp_path):
    of = room(tmp_path)
    before = shared_sums(of)
    before.sums(1, 0, Gradients())
    of.way = lambda n, question, answer: None if n == 3 else answer
    expected = before.sums(2, 1, Gradients())
    assert list(before.standing_in) == [3]
    after = shared_sums(of)
    after.stand_in(before.standing_in)
    np.testing.assert_array_equal(after.sums(3, 1, Gradients()), expected)
    np.testing.assert_array_equal(expected, in_the_clear(of, 1))
    of.way = lambda n, question, answer: answer
    after.sums(4, 2, Gradients())
    assert after.standing_in == {}
