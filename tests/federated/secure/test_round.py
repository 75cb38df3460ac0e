"""Rounds: the sum is the plain one, whoever vanishes; with too few there is none."""

from itertools import product

import numpy as np
import pytest
from secure_rounds import Fleet, any_integers

from narrows.errors import SharingError, TooFewResponses, WrongResponses
from narrows.federated.secure.messages import Revealed
from narrows.federated.secure.shares import LIMBS, rebuild, share, threshold
from narrows.federated.secure.terms import UpdateTerms
from narrows.security.authority import Authority

STAGES = ("stays", "train", "confirm", "unmask")
TINY = UpdateTerms(5, 5, 1.0, 3, 1, (), bytes(32))


def assert_plain_sum(fleet: Fleet, sums) -> None:
    head, coordinates = fleet.plain_sums()
    assert (sums.head == head).all()
    assert (sums.coordinates == coordinates).all()
    assert set(sums.survivors) == fleet.sent.keys()


@pytest.mark.parametrize("clients", [3, 4])
def test_every_way_to_vanish_gives_the_plain_sum_or_none(clients):
    fleet, needed, given = Fleet.gather(clients), threshold(clients), 0
    for fates in product(STAGES, repeat=clients):
        leaving = {
            stage: {name for name, fate in zip(fleet.clients, fates, strict=True) if fate == stage}
            for stage in STAGES
        }
        trained = clients - len(leaving["train"])
        confirm = leaving["train"] | leaving["confirm"]
        gone = confirm | leaving["unmask"]
        possible = trained >= needed and clients - len(gone) >= needed
        if not leaving["train"]:  # nobody is asked to confirm
            gone = leaving["unmask"]
            confirm = set()
            possible = clients - len(gone) >= needed
        stages = {"train": leaving["train"], "confirm": confirm, "unmask": gone}
        if possible:
            assert_plain_sum(fleet, fleet.run(TINY, **stages))
            given += 1
        else:
            with pytest.raises(TooFewResponses, match="needed"):
                fleet.run(TINY, **stages)
    assert given > 1


@pytest.mark.parametrize("clients", [10, 20])
@pytest.mark.parametrize("stage", ["train", "confirm", "unmask"])
def test_three_in_ten_may_vanish_at_any_stage(clients, stage):
    fleet = Fleet.gather(clients)
    chance = np.random.default_rng(clients)
    gone = set(chance.choice(sorted(fleet.clients), 3 * clients // 10, replace=False).tolist())
    one = set(sorted(gone)[:1])
    later = {"train": ("train", "confirm", "unmask"), "confirm": ("confirm", "unmask")}
    stages = dict.fromkeys(later.get(stage, ("unmask",)), gone)
    if stage != "train":
        stages |= {"train": one}  # so that there is a confirmation
    assert_plain_sum(fleet, fleet.run(**stages))
    assert_plain_sum(fleet, fleet.run())  # and they come back


def test_three_in_ten_of_any_number_leave_enough():
    for clients in range(3, 2000):
        assert clients - 3 * clients // 10 >= threshold(clients)
        assert 2 * threshold(clients) - clients > clients / 3


def test_who_vanishes_here_and_there_over_many_rounds():
    fleet, chance = Fleet.gather(10), np.random.default_rng(5)
    for _ in range(12):
        leaving = chance.permutation(sorted(fleet.clients))[:3].tolist()
        first, second = sorted(chance.integers(0, 4, 2))
        train, confirm = set(leaving[:first]), set(leaving[:second])
        # a slow client misses its training and answers again; or stays away
        slow = chance.random() < 0.5
        stages = {"train": train, "confirm": confirm - (train if slow else set())}
        sums = fleet.run(**stages, unmask=set(leaving) - (train if slow else set()))
        assert_plain_sum(fleet, sums)


def test_clients_with_certificates_sum_as_well(tmp_path):
    authority = Authority.create(tmp_path / "ca")
    folders = {}
    for name in ("north", "east", "south", "west"):
        authority.enroll(name, tmp_path / name)
        folders[name] = tmp_path / name
    fleet = Fleet.gather(4, folders)
    assert_plain_sum(fleet, fleet.run())
    assert_plain_sum(fleet, fleet.run(train={"east"}, confirm={"east"}, unmask={"east"}))


def test_fewer_than_three_clients_make_no_round():
    fleet = Fleet.gather(3)
    fleet.deposits.popitem()
    with pytest.raises(TooFewResponses, match="2 clients are ready with a mask key"):
        fleet.begin()


def test_the_server_receives_no_clients_integers():
    fleet = Fleet.gather(5)
    terms = UpdateTerms(600, 600, 1.0, 100, 1, (), bytes(32))
    fleet.run(terms, train={"client-02"}, confirm={"client-02"}, unmask={"client-02"})
    sent = {n: q.coordinates for n, q in fleet.sent.items()}
    received = b"".join(fleet.received)
    assert len(received) > 5 * 600
    for integers in sent.values():
        modulo = (integers & 0x3FF).astype(np.uint32)
        for kind in (np.int8, np.int16, np.int32, np.int64, np.float32, np.float64):
            for part in (integers[:16], integers[300:316]):
                assert part.astype(kind).tobytes() not in received
        assert modulo[:16].tobytes() not in received


def test_a_late_update_stays_hidden_though_its_masks_are_known():
    fleet = Fleet.gather(4)
    this = fleet.begin()
    late = "client-01"
    held = {}
    accept = this.accept
    this.accept = lambda name, masked: (
        held.update({name: masked}) or (accept(name, masked) if name != late else None)
    )
    fleet.train(this)
    survivors = this.ask_to_confirm()
    confirmed = {n: fleet.said(n, lambda c: c.confirm(survivors)) for n in this.holders}
    asked = this.ask_to_unmask(confirmed)
    sums = this.finish({n: fleet.said(n, lambda c, a=a: c.reveal(a)) for n, a in asked.items()})
    late_integers = fleet.sent.pop(late)
    assert_plain_sum(fleet, sums)
    # What is left of the late update without the pairwise masks, which the server can now remove,
    # is under its own mask: as every client's is before the seeds are known.
    assert late in held
    assert held[late].coordinates != late_integers.coordinates.astype(np.uint32).tobytes()


def test_a_wrong_share_is_corrected_and_its_holder_named():
    fleet = Fleet.gather(10)
    this = fleet.begin()
    fleet.train(this)
    asked = this.ask_to_unmask({})
    revealed = {n: fleet.said(n, lambda c, a=a: c.reveal(a)) for n, a in asked.items()}
    liar = this.holders[4]
    revealed[liar] = Revealed(bytes(len(revealed[liar].shares)))
    sums = this.finish(revealed)
    assert_plain_sum(fleet, sums)
    assert sums.wrong == (liar,)
    for other in this.holders[:4]:
        revealed[other] = Revealed(bytes(len(revealed[liar].shares)))
    with pytest.raises(WrongResponses):
        this.finish(revealed)


def test_an_update_of_another_size_is_not_taken():
    fleet = Fleet.gather(3)
    this = fleet.begin()
    other = fleet.clients["client-00"]
    masked = other.mask(this.plan, any_integers(this.plan.terms, np.random.default_rng(0)))
    for changed in ({"head": b""}, {"coordinates": masked.coordinates[1:]}, {"sealed": ()}):
        wrong = type(masked)(**{f: getattr(masked, f) for f in masked.__struct_fields__} | changed)
        with pytest.raises(SharingError, match="client-00 sent"):
            this.accept("client-00", wrong)
    this.accept("client-00", masked)
    with pytest.raises(SharingError, match="came twice"):
        this.accept("client-00", masked)
    with pytest.raises(SharingError, match="was not asked"):
        this.accept("stranger", masked)


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, bytes(range(32))])
def test_a_secret_is_rebuilt_by_any_t_and_by_no_fewer(secret):
    dealt = share(secret, 7)
    held = {i: np.frombuffer(s, "<u8").astype(np.uint64)[None] for i, s in enumerate(dealt)}
    for start in range(7):
        some = {i % 7: held[i % 7] for i in range(start, start + threshold(7))}
        assert rebuild(some, 7, 1)[0] == [secret]
        some.popitem()
        with pytest.raises(TooFewResponses):
            rebuild(some, 7, 1)
    assert share(secret, 7) != dealt


def test_what_is_no_secret_is_told_from_one():
    wide = {i: np.full((1, LIMBS), (1 << 61) - 2, np.uint64) for i in range(3)}
    assert rebuild(wide, 3, 1)[0] == [None]  # a constant polynomial: limbs of 61 bits
