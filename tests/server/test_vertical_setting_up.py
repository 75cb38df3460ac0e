"""What comes before the first round: introductions, the common records, one set of terms."""

from dataclasses import replace

import numpy as np
import pytest
from vertical_coordinator import Room, without_ray
from vertical_group import COLUMNS, COMMON, Group, terms_of

pytest.importorskip("ray", reason="needs the server extra")

from narrows.errors import SessionError, SharingError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical import setting_up


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch):
    without_ray(monkeypatch)


def set_up(of: Room, ids: list[str]):
    steps = setting_up.SettingUp(of, of.group.names)
    met = steps.introduce()
    common = steps.intersect(met, ids)
    agreed = replace(terms_of(of.group.names), session=met.session)
    kept = []
    steps.agree(agreed, common, kept.append)
    return met, common, agreed, kept


def test_setting_up_ends_with_one_order_and_everybodys_shares_everywhere(tmp_path):
    of = Room(Group(tmp_path))
    ids = [f"record-{i:04d}" for i in reversed(range(COMMON))] + ["nobody-else-has"]
    met, common, agreed, kept = set_up(of, ids)
    assert met.columns == COLUMNS
    assert kept == list(range(5))
    order = [ids[row] for row in common.rows]
    assert sorted(order) == sorted(ids[:COMMON])
    of.group.terms = agreed
    assert (of.group.round(1, 0) == of.group.in_the_clear(0)).all()
    for party, settings in zip(of.group.parties, of.group.settings, strict=True):
        raw = settings.table.coded[[settings.table.ids.index(text) for text in order]]
        spread = np.corrcoef(raw[:, 0], party.kept.table()[:, 0])[0, 1]
        assert spread > 0.99  # the same records, to another scale


def test_what_a_party_refuses_ends_setting_up_by_its_name(tmp_path):
    of = Room(Group(tmp_path, least_privacy=3))
    with pytest.raises(SessionError, match=r"party-0 refuses: T = 1 .*asks for T = 3"):
        set_up(of, [f"record-{i:04d}" for i in range(COMMON)])


def test_a_party_that_leaves_ends_setting_up_by_its_name(tmp_path):
    of = Room(Group(tmp_path))
    of.way = lambda n, question, answer: (
        pb.PartyMessage(hello=pb.Hello()) if n == 3 and question.HasField("blind") else answer
    )
    with pytest.raises(SessionError, match="party-3 left before the first round"):
        set_up(of, [f"record-{i:04d}" for i in range(COMMON)])


def test_no_common_record_is_said_to_be_one(tmp_path):
    with pytest.raises(SessionError, match="no record that all have"):
        set_up(Room(Group(tmp_path)), ["else", "where"])


def test_positions_that_are_none_end_setting_up_in_one_line(tmp_path):
    of = Room(Group(tmp_path))

    def way(n, question, answer):
        if n == 0 and question.HasField("locate") and question.locate.receiver == 5:
            answer.located.positions = b"123"
        return answer

    of.way = way
    with pytest.raises(SharingError, match="3 bytes are not positions"):
        set_up(of, [f"record-{i:04d}" for i in range(COMMON)])


def test_aligned_tables_of_other_sizes_are_refused(tmp_path):
    of = Room(Group(tmp_path))
    steps = setting_up.SettingUp(of, of.group.names)
    with pytest.raises(SessionError, match="aligned tables of 7 labels and"):
        steps.aligned(steps.introduce(), 7)
