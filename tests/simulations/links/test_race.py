"""Races in virtual time: the same every time, never above the oracle, and the policy near it."""

import numpy as np
import pytest

from narrows.edge.policy.baselines import FixedPolicy
from narrows.edge.policy.menu import Choice
from narrows.edge.policy.policy import DeadlinePolicy
from narrows.simulations.links.link import Link, open_link
from narrows.simulations.links.oracle import oracle
from narrows.simulations.links.race import Terms, race
from narrows.simulations.links.spec import LinkSpec
from narrows.simulations.links.trace import Trace
from narrows.simulations.links.workload import averages

MENU = (
    Choice("packet", 0, 610, 0.82),
    Choice("packet", 1, 350, 0.80),
    Choice("packet", 2, 180, 0.77),
    Choice("local", 0, 0, 0.65),
)
WORK, TERMS = averages(MENU), Terms(frames=600)


def ours():
    return DeadlinePolicy(MENU, TERMS.deadline_s, 1 / TERMS.fps)


@pytest.mark.parametrize("name", ["lora:1", "lte:1", "wifi:1"])
def test_the_policy_is_near_the_oracle_and_above_every_fixed_choice(name):
    link = open_link(name)
    best = oracle(link, WORK, TERMS)
    found = race(ours(), link, WORK, TERMS).as_dict()
    fixed = [race(FixedPolicy(c), link, WORK, TERMS).as_dict()["accuracy"] for c in MENU]
    assert 0.97 * best.worth <= found["accuracy"] <= best.worth + 1e-9
    assert found["accuracy"] >= max(fixed) - 1e-9
    assert found["missed"] == 0
    assert found == race(ours(), link, WORK, TERMS).as_dict()


def test_a_frame_is_late_exactly_where_the_arithmetic_says_so():
    """2 kB take 100 ms up at 160 kbit/s; with 5 + 5 + 8 ms beside it, 118 ms in all."""
    link = Link("x", LinkSpec.parse("160kbit"), LinkSpec.parse("160kbit"))
    work = averages((Choice("packet", 0, 2000, 1.0), MENU[-1]))
    for deadline_s, missed in ((0.118, 0.0), (0.117, 1.0)):
        terms = Terms(20, fps=5, deadline_s=deadline_s)
        found = race(FixedPolicy(work.menu[0]), link, work, terms).as_dict()
        assert found["missed"] == missed
        assert oracle(link, work, terms).unreachable == missed


def test_the_oracle_sees_an_outage_coming_and_is_the_best_of_all_plans():
    """Exhaustive over every plan of a few frames, on a line that stops and goes."""
    shape = Trace([10**8, 2 * 10**8, 10**8], [40_000, 0, 80_000], [10**7] * 3)
    link = Link("x", shape, LinkSpec.parse("1gbit"))
    terms = Terms(5)
    plans = np.stack(np.meshgrid(*[range(len(MENU))] * terms.frames), -1).reshape(-1, terms.frames)

    class Planned(FixedPolicy):
        def __init__(self, plan):
            super().__init__(MENU[0])
            self.plan = plan

        def choose(self, moment):
            self.choice = MENU[self.plan[round((moment.now_s - terms.device_s) * terms.fps)]]
            return super().choose(moment)

    scores = [race(Planned(plan), link, WORK, terms).worth for plan in plans]
    assert oracle(link, WORK, terms).worth * terms.frames == pytest.approx(max(scores))
