"""A party of a vertical session, asked directly: what it answers, refuses, keeps and gives away."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from vertical_group import COLUMNS, COMMON, SESSION, Group, tables, terms_of, whole

from narrows.edge.vertical.party import Party, PartySettings
from narrows.errors import (
    ConfigError,
    IdentityError,
    NarrowsError,
    SealError,
    SessionError,
    SharingError,
)
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.security.authority import Authority
from narrows.security.sealed import PartyKey
from narrows.sharing.fixed_point import FixedPoint


@pytest.fixture
def group(tmp_path) -> Group:
    group = Group(tmp_path)
    return group.begin(terms_of(group.names))


# --- the sums ---


@pytest.mark.parametrize("factors", [1, 2])
def test_every_step_of_a_session_decodes_to_the_sums_in_the_clear(tmp_path, factors):
    columns = COLUMNS if factors == 1 else (*COLUMNS, 1, 2, 1, 1)
    group = Group(tmp_path, columns)
    group.begin(terms_of(group.names, columns, factors))
    assert len(group.terms.schedule) > 4
    learnt = []
    for step in range(len(group.terms.schedule)):
        gradients = [group.gradient(step, step - 1)] if step else []
        sums = group.round(step + 1, step, gradients)
        assert (sums == group.in_the_clear(step)).all()
        learnt.append(group.parties[0].kept.learnt().tobytes())
    assert len(set(learnt)) == len(learnt)  # they did learn


def test_the_tables_are_those_of_the_common_records_in_one_order(group):
    assert sorted(group.ids[row] for row in group.rows) == sorted(group.ids)
    order = [group.ids[row] for row in group.rows]
    for party, table in zip(group.parties, tables(), strict=True):
        places = [table.ids.index(text) for text in order]
        training = group.terms.schedule.records - group.terms.schedule.held_out
        raw = table.coded[places]
        expected = (raw - raw[:training].mean(0)) / raw[:training].std(0)
        np.testing.assert_allclose(party.kept.table(), np.clip(expected, -4, 4), rtol=1e-12)


def test_aligned_tables_are_taken_in_the_order_they_have(tmp_path):
    group = Group(tmp_path)
    asked = pb.Meet(introductions=group.introduce(), aligned=True)
    assert group.ask(0, asked).blinded.points == b""
    terms = terms_of(group.names)
    terms = replace(terms, schedule=replace(terms.schedule, records=len(tables()[0].ids)))
    group.ask(0, pb.Agree(terms=terms.encoded))
    raw = tables()[0].coded
    training = terms.schedule.records - terms.schedule.held_out
    expected = (raw - raw[:training].mean(0)) / raw[:training].std(0)
    np.testing.assert_allclose(group.parties[0].kept.table(), np.clip(expected, -4, 4))


def test_values_out_of_the_sessions_range_are_moved_to_its_ends(tmp_path):
    group = Group(tmp_path)
    terms = terms_of(group.names)
    narrow = replace(terms.bounds, data=FixedPoint(12, 0.5))
    group.begin(replace(terms, bounds=narrow))
    values = group.parties[0].kept.table()
    assert np.abs(values).max() == 0.5
    assert (group.round(1, 0) == group.in_the_clear(0)).all()


def test_a_part_in_the_clear_is_what_the_weights_make_of_the_columns(tmp_path):
    group = Group(tmp_path, allow_plain=True)
    group.begin(terms_of(group.names, protected=False))
    kept = group.parties[2].kept
    told = group.ask(2, pb.Embed(round=1, step=0)).embedding
    x = group.terms.schedule.arrange(kept.table())[:, group.terms.schedule.step(0).rows]
    expected = x.reshape(-1, COLUMNS[2]) @ kept.learnt()[0]
    np.testing.assert_allclose(
        np.frombuffer(told.values, "<f4").reshape(expected.shape), expected, atol=1e-3
    )


# --- learning ---


def test_a_gradient_is_learnt_from_once_however_often_it_is_told(group):
    told = group.gradient(1, 0)
    group.share(1, 0)
    assert group.share(2, 1, [told])[0].learnt_round == 1
    once = group.parties[0].kept.learnt()
    group.share(3, 1, [told, told])
    group.restart(0)
    group.ask(0, pb.Finish(gradients=[told]))
    np.testing.assert_array_equal(group.parties[0].kept.learnt(), once)


def test_missed_gradients_are_learnt_in_their_order_as_if_none_had_been_missed(group):
    told = [group.gradient(1 + step, step, seed=step) for step in range(3)]
    folder = group.settings[0].folder
    there = shutil.copytree(folder, folder.with_name("there"))
    for n, gradient in enumerate(told):
        assert group.share(2 + n, n + 1, [gradient], parties=[0])[0].learnt_round == n + 1
    expected = group.parties[0].kept.learnt()
    group.settings[0] = replace(group.settings[0], folder=there)
    group.restart(0)
    assert group.share(4, 3, told, parties=[0])[0].learnt_round == 3
    np.testing.assert_array_equal(group.parties[0].kept.learnt(), expected)


@pytest.mark.parametrize("values", [b"", b"\0" * 4, b"\0" * 95, np.full(24, np.nan, "<f4")])
def test_a_gradient_that_is_none_is_refused_and_changes_nothing(group, values):
    before = group.parties[0].kept.learnt()
    told = pb.Gradient(round=1, step=0, values=bytes(values))
    with pytest.raises(SharingError):
        group.share(2, 1, [told])
    np.testing.assert_array_equal(group.parties[0].kept.learnt(), before)


def test_weights_stay_within_the_range_that_the_overflow_proof_is_for(tmp_path):
    group = Group(tmp_path)
    terms = terms_of(group.names)
    bounds = replace(terms.bounds, weights=FixedPoint(12, 0.5))
    group.begin(replace(terms, bounds=bounds, learning=replace(terms.learning, rate=1.0)))
    for step in range(3):
        told = [group.gradient(step, step - 1)] if step else []
        assert (group.round(step + 1, step, told) == group.in_the_clear(step)).all()
    assert np.abs(group.parties[0].kept.learnt()).max() == 0.5


# --- rounds ---


@pytest.mark.parametrize("restarted", [False, True])
def test_a_round_is_computed_once(group, restarted):
    shares = group.share(5, 0)
    group.evaluate(5, 0, shares)
    for n in range(len(group.names)) if restarted else ():
        group.restart(n)
    for again in (5, 4, 1):
        with pytest.raises(SessionError, match=f"round {again} again, after 5: refused"):
            group.evaluate(again, 0, shares)
    shares = group.share(6, 1)
    assert (group.decode(1, group.evaluate(6, 1, shares)) == group.in_the_clear(1)).all()


def test_shares_of_another_round_than_they_are_said_to_be_are_complained_of(group):
    old, new = group.share(1, 0), group.share(2, 1)
    mixed = new | {3: pb.Shares(round=2, sealed=old[3].sealed)}
    for answer in group.evaluate(2, 1, mixed).values():
        assert answer.WhichOneof("content") == "complaint"
        assert (answer.complaint.round, list(answer.complaint.holders)) == (2, [3])


def test_a_complaint_names_every_holder_whose_shares_do_not_open(group):
    shares = group.share(1, 0)
    altered = bytearray(shares[1].sealed[0])
    altered[-1] ^= 1
    shares[1].sealed[0] = bytes(altered)
    shares[2].sealed[0] = shares[2].sealed[1]  # for another receiver
    shares[4].sealed[0] = b""
    answers = group.evaluate(1, 0, shares)
    assert list(answers[0].complaint.holders) == [1, 2, 4]
    assert all(answers[m].HasField("response") for m in range(1, 5))


def test_a_holder_that_missed_the_round_counts_with_its_last_weights_and_no_mask(group):
    before = group.share(1, 0)
    group.evaluate(1, 0, before)
    weights_then = group.parties[4].kept.learnt()
    now = group.share(2, 5, [group.gradient(1, 0)])
    told = group.evaluate(2, 5, now | {4: before[4]})
    sums = group.decode(5, told)
    held = group.parties[4].kept
    held.keep_weights(weights_then, group.parties[4]._rounds._adam, 0)
    assert (sums == group.in_the_clear(5)).all()


def test_a_holder_that_never_shared_is_no_part_of_the_sum(group):
    shares = group.share(1, 0, parties=[0, 1, 2, 4])
    sums = group.decode(0, group.evaluate(1, 0, shares))
    assert (sums == group.in_the_clear(0, without=(3,))).all()


def test_too_few_fresh_masks_are_refused_by_every_party(group):
    old = group.share(1, 0)
    group.evaluate(1, 0, old)
    new = group.share(2, 1)
    with pytest.raises(SharingError, match="1 fresh zero-masks: at least T \\+ 1 = 2"):
        group.evaluate(2, 1, old | {0: new[0]})


def test_shares_of_a_round_to_come_are_complained_of(group):
    shares = group.share(9, 0)
    question = pb.Evaluate(
        round=5, step=0, versions=[9] * 5, sealed=[shares[n].sealed[0] for n in range(5)]
    )
    assert list(group.ask(0, question).complaint.holders) == [0, 1, 2, 3, 4]


def resealed(group: Group, holder: int, receiver: int, version: int, text: bytes) -> bytes:
    """What a holder that does not follow the protocol could seal."""
    rounds = group.parties[holder]._rounds
    return rounds._channel.seal(group.names[receiver], rounds._kind("round"), version, text)


@pytest.mark.parametrize("length", [0, 8, 24, 48, 96, 400, 10_000])
@pytest.mark.parametrize("version", [1, 2])
def test_a_holder_that_seals_anything_else_than_shares_is_complained_of(group, version, length):
    group.evaluate(1, 0, group.share(1, 0))
    shares = group.share(2, 1)
    expected = 8 * group.terms.width * (COLUMNS[2] + len(group.terms.schedule.step(1).rows))
    assert length != expected
    sealed = [shares[n].sealed[0] for n in range(5)]
    versions = [2, 2, version, 2, 2]
    sealed[2] = resealed(group, 2, 0, version, b"\xff" * length)
    question = pb.Evaluate(round=2, step=1, versions=versions, sealed=sealed)
    assert list(group.ask(0, question).complaint.holders) == [2]


def test_questions_beyond_the_schedule_the_parties_or_the_shares_are_refused(group):
    for question, said in [
        (pb.Share(round=1, step=len(group.terms.schedule)), "the schedule agreed on has"),
        (pb.Keep(holder=5, sealed=b""), "party 5: there are 5"),
        (pb.Evaluate(round=1, step=0, versions=[1], sealed=[b""]), "expected 5"),
        (pb.Embed(round=1, step=0), "in the clear, in a session on shares"),
    ]:
        with pytest.raises(SessionError, match=said):
            group.ask(0, question)


def test_an_altered_table_share_is_refused(tmp_path):
    group = Group(tmp_path)
    terms = terms_of(group.names)
    agrees = group.meet([f"record-{i:04d}" for i in range(COMMON)])
    for n, agree in agrees.items():
        agree.terms = terms.encoded
        tables = group.ask(n, agree).tables
    sealed = bytearray(tables.sealed[0])
    sealed[20] ^= 4
    with pytest.raises(SealError, match="table"):
        group.ask(0, pb.Keep(holder=4, sealed=bytes(sealed)))
    with pytest.raises(SealError, match="table"):  # of that holder, not of another
        group.ask(0, pb.Keep(holder=3, sealed=tables.sealed[0]))
    group.ask(0, pb.Keep(holder=4, sealed=tables.sealed[0]))


# --- what it agrees to ---


def refusal_of(group: Group, party: int, terms) -> str:
    """Of these terms, after a meeting of all."""
    agree = group.meet([f"record-{i:04d}" for i in range(COMMON)])[party]
    agree.terms = terms if isinstance(terms, bytes) else terms.encoded
    with pytest.raises(NarrowsError) as refused:
        group.ask(party, agree)
    assert isinstance(refused.value, SessionError | ConfigError)
    assert not (group.settings[party].folder / "session.json").exists()
    return str(refused.value)


def test_terms_that_are_not_what_a_party_came_for_are_refused_by_name(tmp_path):
    terms = terms_of(f"party-{n}" for n in range(5))
    cases = {
        "session": (replace(terms, session="f" * 32), "the terms' session: ffff"),
        "parties": (replace(terms, parties=(*terms.parties[1:], "party-0")), "the terms' parties"),
        "columns": (
            replace(terms, bounds=replace(terms.bounds, columns=(2, 2, 1, 2, 1))),
            "columns of this party: 2, expected 3",
        ),
        "records": (
            replace(terms, schedule=replace(terms.schedule, records=COMMON + 1)),
            f"{COMMON} common records: the terms say {COMMON + 1}",
        ),
        "plain": (terms_of(terms.parties, protected=False), "--allow-plain agrees to that"),
        "text": (terms.encoded + b" ", "canonical"),
    }
    for name, (offered, said) in cases.items():
        assert said in refusal_of(Group(tmp_path / name), 1, offered), name


def test_less_privacy_than_a_party_asks_for_is_refused(tmp_path):
    group = Group(tmp_path, least_privacy=2)
    said = refusal_of(group, 0, terms_of(group.names))
    assert said == ("T = 1 parties together learn nothing: this party asks for T = 2 at least")


def test_a_party_that_allows_plain_may_still_be_asked_for_shares(tmp_path):
    group = Group(tmp_path, allow_plain=True)
    group.begin(terms_of(group.names))
    assert (group.round(1, 0) == group.in_the_clear(0)).all()


def test_nothing_is_answered_out_of_its_turn(tmp_path):
    group = Group(tmp_path)
    for question in (pb.Meet(), pb.Blind(), pb.Locate(), pb.Agree()):
        with pytest.raises(SessionError, match="before an introduction"):
            group.ask(0, question)
    for question in (pb.Keep(), pb.Share(), pb.Evaluate(), pb.Embed(), pb.Finish()):
        with pytest.raises(SessionError, match="before terms were agreed on"):
            group.ask(0, question)
    with pytest.raises(SessionError, match="a question this party does not know"):
        group.parties[0].answer(pb.CoordinatorMessage(ask=1))
    group.introduce()
    for question in (pb.Blind(sender=1), pb.Locate(sender=1)):
        with pytest.raises(SessionError, match="before everybody's keys were told"):
            group.ask(0, question)
    with pytest.raises(NarrowsError):
        group.ask(0, pb.Agree(terms=terms_of(group.names).encoded))


@pytest.mark.parametrize(
    ("names", "said"), [(["a", "b"], "expected 'party-0' among them"), (["party-0"] * 2, "once")]
)
def test_a_party_must_be_among_those_introduced_once(tmp_path, names, said):
    group = Group(tmp_path)
    with pytest.raises(SessionError, match=said):
        group.ask(0, pb.Introduce(session=SESSION, parties=names))


def test_positions_and_points_that_are_none_are_refused(tmp_path):
    group = Group(tmp_path)
    group.ask(0, pb.Meet(introductions=group.introduce()))
    coordinator = len(group.names)
    for question in (
        pb.Blind(owner=1, sender=coordinator, receiver=coordinator, points=b"\1" * 33),
        pb.Blind(owner=1, sender=coordinator, receiver=coordinator, points=bytes(32)),
        pb.Locate(owner=2, sender=coordinator, receiver=coordinator, positions=b""),
        pb.Agree(terms=terms_of(group.names).encoded, sender=coordinator, positions=b"\0" * 9),
    ):
        with pytest.raises(SharingError):
            group.ask(0, question)
    with pytest.raises(SessionError, match="party 6: there are 5"):
        group.ask(0, pb.Blind(owner=1, sender=6))


# --- whose key is whose ---


def test_a_party_whose_own_key_was_swapped_notices(tmp_path):
    group = Group(tmp_path)
    told = group.introduce()
    told[0].public_key = PartyKey.generate().public
    with pytest.raises(SessionError, match="a key that is not this party's"):
        group.ask(0, pb.Meet(introductions=told))
    with pytest.raises(SessionError, match="4 introductions: expected 5"):
        group.ask(0, pb.Meet(introductions=told[1:]))


def test_shares_do_not_open_where_the_coordinator_swapped_a_key(tmp_path):
    """Without certificates a swap is not seen, and opens nothing that was not sealed for it."""
    group = Group(tmp_path)
    told = group.introduce()
    meets = [list(told) for _ in told]
    meets[0][1] = pb.Introduction(public_key=PartyKey.generate().public)
    points = [group.ask(n, pb.Meet(introductions=m)).blinded.points for n, m in enumerate(meets)]
    with pytest.raises(SealError, match="points 0 from party-0 to party-1"):
        group.ask(1, pb.Blind(owner=0, sender=0, receiver=2, points=points[0]))


def test_with_certificates_a_swapped_key_is_refused_by_its_owners_name(tmp_path):
    authority = Authority.create(tmp_path / "ca")
    group = Group(tmp_path)
    for n, name in enumerate(group.names):
        authority.enroll(name, tmp_path / "tls" / name)
        group.settings[n] = replace(group.settings[n], tls=tmp_path / "tls" / name)
        group.restart(n)
    told = group.introduce()
    group.ask(0, pb.Meet(introductions=told))
    swapped = [pb.Introduction.FromString(each.SerializeToString()) for each in told]
    swapped[3].public_key = PartyKey.generate().public
    with pytest.raises(IdentityError, match="party party-3: the key was not signed"):
        group.ask(0, pb.Meet(introductions=swapped))
    swapped[3].CopyFrom(told[2])  # another party's whole introduction
    with pytest.raises(IdentityError, match="party party-3"):
        group.ask(0, pb.Meet(introductions=swapped))
    swapped[3].CopyFrom(pb.Introduction(public_key=told[3].public_key))
    with pytest.raises(IdentityError, match="party party-3 shows no certificate"):
        group.ask(0, pb.Meet(introductions=swapped))


# --- coming back ---


def test_it_goes_on_from_its_folder_with_the_same_weights_and_shares(group):
    digest = group.terms.digest
    assert group.round(1, 0).shape
    before = [party.kept.learnt() for party in group.parties]
    for n in range(5):
        assert group.restart(n).hello() == pb.Hello(name=group.names[n], terms_digest=digest)
    assert (group.round(2, 1) == group.in_the_clear(1)).all()
    for party, weights in zip(group.parties, before, strict=True):
        np.testing.assert_array_equal(party.kept.learnt(), weights)


def test_adam_remembers_over_a_restart(tmp_path):
    steady, restarted = Group(tmp_path / "a"), Group(tmp_path / "b")
    begin = np.full((1, COLUMNS[0], 3), 0.25)
    for group in (steady, restarted):
        group.settings[0] = replace(group.settings[0], begin=begin)
        group.restart(0)
        # one order of the records for both: the intersection's is another in each session
        agreed = terms_of(group.names, schedule=terms_of(group.names).schedule)
        told = group.introduce()
        group.ask(0, pb.Meet(introductions=told, aligned=True))
        agreed = replace(agreed, schedule=replace(agreed.schedule, records=COMMON + 3))
        group.ask(0, pb.Agree(terms=agreed.encoded))
        group.terms = agreed
    for step in range(4):
        for group in (steady, restarted):
            told = group.gradient(step + 1, step, seed=step)
            group.share(step + 2, step + 1, [told], parties=[0])
        restarted.restart(0)
    learnt = [group.parties[0].kept.learnt() for group in (steady, restarted)]
    np.testing.assert_array_equal(*learnt)
    assert not np.array_equal(learnt[0], begin)


def test_an_introduction_that_comes_to_nothing_leaves_the_session_as_it_was(group):
    group.introduce("f" * 32)
    assert group.parties[0].hello().terms_digest == group.terms.digest
    for n in range(5):
        group.restart(n)
    assert (group.round(1, 0) == group.in_the_clear(0)).all()


def test_a_new_session_in_the_same_folder_takes_the_place_of_the_old(group):
    group.round(1, 0)
    old = [party.kept.learnt() for party in group.parties]
    group.begin(terms_of(group.names, width=4))
    assert (group.round(1, 0) == group.in_the_clear(0)).all()
    assert group.parties[0].kept.learnt().shape != old[0].shape


def test_weights_to_begin_with_are_those_of_the_first_round_after_a_restart_too(tmp_path):
    group = Group(tmp_path)
    weights = [np.random.default_rng(n).uniform(-1, 1, (1, d, 3)) for n, d in enumerate(COLUMNS)]
    for n, begin in enumerate(weights):
        group.settings[n] = replace(group.settings[n], begin=begin)
        group.restart(n)
    group.begin(terms_of(group.names, schedule=replace(terms_of(group.names).schedule, epochs=0)))
    for n in range(5):
        group.restart(n)
        np.testing.assert_array_equal(group.parties[n].kept.learnt(), weights[n])
    rows, bounds = group.terms.schedule.step(0).rows, group.terms.bounds
    expected = sum(
        whole(group.terms.schedule.arrange(p.kept.table())[:, rows], bounds.data)
        @ whole(w[0], bounds.weights)
        for p, w in zip(group.parties, weights, strict=True)
    )
    assert (group.round(1, 0) == expected).all()


def test_weights_of_another_shape_are_refused(tmp_path):
    group = Group(tmp_path, begin=np.zeros((1, 2, 9)))
    assert "weights of shape (1, 2, 9): this session's are (1, 2, 3)" in refusal_after_begin(group)


def refusal_after_begin(group: Group) -> str:
    agree = group.meet([f"record-{i:04d}" for i in range(COMMON)])[0]
    agree.terms = terms_of(group.names).encoded
    with pytest.raises(SessionError) as refused:
        group.ask(0, agree)
    return str(refused.value)


def test_another_partys_folder_is_refused(group):
    stranger = PartySettings("stranger", tables()[0], group.settings[0].folder)
    with pytest.raises(SessionError, match="kept by 'party-0', not by 'stranger'"):
        Party(stranger)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "session.json").write_text("{}"),
        lambda folder: (folder / "session.json").write_bytes(b"\xff"),
        lambda folder: (folder / "table.safetensors").unlink(),
        lambda folder: (folder / "table.safetensors").write_bytes(b"damaged"),
        lambda folder: (folder / "weights.safetensors").write_bytes(b""),
        lambda folder: (folder / "shares-2.safetensors").write_bytes(b"damaged"),
        lambda folder: (folder / "key").write_bytes(b"damaged"),
        lambda folder: (folder / "key").chmod(0o644),
        lambda folder: (folder / "key").unlink(),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(group, damage):
    folder = group.settings[1].folder
    damage(folder)
    with pytest.raises((SessionError, ConfigError)) as refused:
        Party(group.settings[1])
    assert str(folder) in str(refused.value)
