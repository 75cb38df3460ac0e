"""What the policy believes of a link, and what it does about it; by a virtual clock throughout."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.policy.baselines import EwmaPolicy, FixedPolicy
from narrows.edge.policy.energy import EnergyBudget, EnergyModel
from narrows.edge.policy.estimator import LinkEstimator
from narrows.edge.policy.exit import ExitAnswer
from narrows.edge.policy.menu import Choice
from narrows.edge.policy.policy import DeadlinePolicy, Moment
from narrows.simulations.links.pipe import Pipe
from narrows.simulations.links.spec import LinkSpec

FINE, COARSE = Choice("packet", 0, 600, 0.82), Choice("packet", 1, 150, 0.76)
PICTURE, OWN = Choice("image", 75, 9000, 0.83), Choice("local", 0, 0, 0.6)
MENU = (FINE, COARSE, PICTURE, OWN)
SURE, UNSURE = ExitAnswer(0, 0.95, -9, True), ExitAnswer(0, 0.5, -9, True)
STRANGE = ExitAnswer(0, 0.99, 9, False)


SIZES, SCORES = st.floats(1, 1e5), st.floats(0, 1)


def moment(now_s, own=UNSURE, spent_s=0.005, one_in=1):
    return Moment(now_s, spent_s, 0.005, own, one_in)


def drive(policy, spec, frames=200, period_s=0.1, begins_s=0.0):
    """Frames over a real pipe, answers as they come; the choices, and the clock's end."""
    up, waiting, chosen = Pipe(LinkSpec.parse(spec)), [], []
    if begins_s == 0:
        for ping in range(8):  # as a session does first
            policy.on_ping(2 * up.shape.delay_ns / 1e9, ping * 1e-3)
    ids = itertools.count(round(begins_s * 1000) + 1)
    for number in range(frames):
        now_s = begins_s + number * period_s
        for frame, at_s in [w for w in waiting if w[1] <= now_s]:
            policy.on_answer(frame, 0.002, at_s)
            waiting.remove((frame, at_s))
        decision = policy.choose(moment(now_s))
        chosen.append(decision.choice)
        if decision.choice.kind != "local":
            frame = next(ids)
            policy.on_sent(frame, decision.choice.wire_bytes, now_s)
            back_ns = up.reserve(int(decision.choice.wire_bytes), round(now_s * 1e9))
            waiting.append((frame, back_ns / 1e9 + up.shape.delay_ns / 1e9 + 0.002))
    for frame, at_s in waiting:
        policy.on_answer(frame, 0.002, at_s)
    return chosen, max([begins_s + frames * period_s, *(at_s for _, at_s in waiting)])


@pytest.mark.parametrize(
    ("spec", "best"), [("20mbit,10ms", PICTURE), ("56kbit,10ms", FINE), ("16kbit,10ms", COARSE)]
)
def test_it_settles_on_the_best_that_the_link_sustains(spec, best):
    chosen, _ = drive(DeadlinePolicy(MENU, 0.3, 0.1), spec)
    settled = chosen[100:]
    assert settled.count(best) > 0.9 * len(settled)


def test_it_keeps_to_itself_where_no_answer_can_be_in_time():
    chosen, _ = drive(DeadlinePolicy(MENU, 0.3, 0.1), "1mbit,400ms")
    assert chosen[100:].count(OWN) > 90


def test_it_follows_a_link_that_changes():
    policy = DeadlinePolicy(MENU, 0.3, 0.1)
    _, now_s = drive(policy, "20mbit,10ms")
    chosen, _ = drive(policy, "100kbit,10ms", 300, begins_s=now_s + 1)
    assert chosen[200:].count(FINE) > 80


def test_the_estimator_finds_round_trip_and_goodput():
    policy = DeadlinePolicy((FINE, COARSE, OWN), 0.5, 0.2)
    drive(policy, "64kbit,20ms", 300, 0.2)
    assert policy.link.round_trip_s == pytest.approx(0.04, rel=0.4)
    assert policy.link.goodput_bits == pytest.approx(64e3, rel=0.3)


def test_a_silence_where_an_answer_is_due_makes_it_keep_to_itself_until_it_ends():
    policy = DeadlinePolicy(MENU, 0.3, 0.1)
    _, now_s = drive(policy, "20mbit,10ms")
    policy.on_sent(999_999, 600, now_s)
    assert policy.choose(moment(now_s + 0.02)).choice != OWN
    before = policy.link.within(600, 0.3, now_s + 0.02)
    assert policy.link.within(600, 0.3, now_s + 3) < 0.2 < 0.9 < before
    policy.on_answer(999_999, 0.002, now_s + 3)
    assert policy.choose(moment(now_s + 3.1)).choice != OWN


def test_a_broken_connection_carries_nothing_and_a_new_one_is_tried_at_once():
    link = LinkEstimator()
    link.on_sent(1, 100, 0.0)
    link.on_down(0.1)
    assert link.within(100, 10, 0.2) == 0
    link.on_up()
    assert link.waiting == 0
    assert link.within(100, 10, 5) > 0.9


def test_more_bytes_or_less_time_never_make_it_likelier():
    policy = DeadlinePolicy(MENU, 0.3, 0.1)
    _, now_s = drive(policy, "1mbit,10ms")
    chances = [policy.link.within(size, 0.2, now_s) for size in (0, 300, 3000, 30_000, 300_000)]
    assert chances == sorted(chances, reverse=True)
    chances = [policy.link.within(600, budget, now_s) for budget in (0, 0.02, 0.05, 0.2, 1)]
    assert chances == sorted(chances)


def test_only_familiar_and_sure_answers_are_kept():
    policy = DeadlinePolicy(MENU, 0.3, 0.1, threshold=0.9)
    _, now_s = drive(policy, "20mbit,10ms")
    reasons = [policy.choose(moment(now_s, own)).why for own in (SURE, UNSURE, STRANGE)]
    assert reasons == ["confident", "best", "best"]


def test_a_refusal_is_waited_out_and_a_hint_followed():
    policy = DeadlinePolicy((FINE, COARSE, OWN), 0.3, 0.1)
    _, now_s = drive(policy, "20mbit,10ms")
    policy.on_refusal(1, 0.5, now_s)
    found = [policy.choose(moment(now_s + after)) for after in (0.1, 0.7, 2.0)]
    assert [d.why for d in found] == ["refused", "best", "best"]
    assert [d.choice for d in found[1:]] == [COARSE, FINE]


@pytest.mark.parametrize("joules", [0.0139, 0.02])
def test_a_budget_of_energy_holds_on_average(joules):
    energy = EnergyBudget(joules)
    chosen, _ = drive(DeadlinePolicy(MENU, 0.3, 0.1, energy=energy), "1mbit,10ms", 1500)
    assert energy.spent_j / energy.frames <= joules * 1.05
    assert len(set(chosen[200:])) > 1 or energy.spent_j / energy.frames < joules


@pytest.fixture(scope="module")
def warmed():
    """A policy that knows its link of 20 Mbit/s, and the instant."""
    policy = DeadlinePolicy(MENU, 0.3)
    _, now_s = drive(policy, "20mbit,10ms")
    return policy, now_s


def test_a_head_that_suddenly_takes_twice_as_long_is_believed_at_once(warmed):
    policy, now_s = warmed
    round_s = policy.link.round_trip_s
    in_time = moment(now_s, spent_s=0.28 - 2 * round_s)
    assert policy.choose(in_time).choice == PICTURE
    late = policy.choose(moment(now_s, spent_s=2 * in_time.spent_s))
    assert (late.choice, late.why) == (OWN, "link")
    assert policy.choose(in_time).choice == PICTURE


def test_fewer_frames_leave_the_line_more_time_for_each():
    better = Choice("packet", 0, 600, 0.82), Choice("packet", 1, 150, 0.81), OWN
    free = EnergyBudget(1e9, EnergyModel(2.5, 0.0, 0.0))  # no price but the line's
    policy = DeadlinePolicy(better, 0.6, 0.1, energy=free)
    _, now_s = drive(policy, "28kbit,10ms", period_s=0.5)
    chosen = [policy.choose(moment(now_s, one_in=n)).choice.level for n in (1, 2)]
    assert chosen == [1, 0]


def test_while_hot_a_point_of_accuracy_is_not_worth_many_times_the_energy(warmed):
    policy, now_s = warmed
    chosen = [policy.choose(moment(now_s, one_in=n)).choice for n in (1, 2, 4, 8, 1)]
    assert chosen == [PICTURE, FINE, FINE, FINE, PICTURE]


@given(
    st.lists(st.tuples(st.sampled_from(("packet", "image")), SIZES, SCORES), min_size=1),
    SCORES, st.floats(0, 0.3), st.sampled_from((2, 4, 8)),
)  # fmt: skip
def test_while_hot_no_choice_costs_more_energy_and_every_deadline_is_kept(
    warmed, rows, own_score, spent_s, one_in
):
    menu = [Choice(kind, n, size, score) for n, (kind, size, score) in enumerate(rows)]
    known, now_s = warmed
    policy = DeadlinePolicy((*menu, Choice("local", 0, 0, own_score)), 0.3, link=known.link)
    cold, hot = (policy._decide(moment(now_s, spent_s=spent_s, one_in=n)) for n in (1, one_in))
    joules = [policy._joules(each.choice, moment(now_s)) for each in (cold, hot)]
    assert joules[1] <= joules[0] + 1e-12
    assert hot.in_time >= cold.in_time - 1e-9


def test_the_rule_of_thumb_takes_the_best_that_fits_the_average():
    assert drive(EwmaPolicy(MENU, 0.3), "20mbit,1ms")[0][-1] == PICTURE
    assert drive(EwmaPolicy(MENU, 0.3), "8kbit,10ms")[0][-1] == COARSE
    assert set(drive(FixedPolicy(FINE), "8kbit,10ms")[0]) == {FINE}
