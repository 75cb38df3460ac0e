"""What a client refuses: a server that lies about who survived learns no single update."""

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from secure_rounds import SMALL, Fleet, any_integers

from narrows.errors import IdentityError, SealError, SessionError
from narrows.federated.secure.member import Client
from narrows.federated.secure.messages import Begin, Member, Plan, Roster, Survivors, Unmask
from narrows.federated.secure.round import Round
from narrows.security.authority import Authority

VICTIM = "client-01"
changed = msgspec.structs.replace


@dataclass
class Trained:
    """A round after all updates came, of which the server may tell what it likes."""

    fleet: Fleet
    this: Round

    def survivors(self, *vanished: str) -> Survivors:
        plan = self.this.plan
        return Survivors(plan, tuple(n for n in plan.names if n not in vanished))

    def confirmed(self, survivors: Survivors, *by: str) -> dict[str, tuple[bytes, ...]]:
        return {n: self.fleet.clients[n].confirm(survivors).sealed for n in by}

    def unmask(self, survivors: Survivors, holder: str, confirmed=None) -> Unmask:
        place = self.this.holders.index(holder)
        here = set(survivors.names)
        sealed = tuple(
            (self.masked[n] if n in here else self.dealt[n]).sealed[place]
            for n in survivors.plan.names
        )
        others = {n: c[place] for n, c in (confirmed or {}).items() if n != holder}
        return Unmask(survivors, sealed, others)


@pytest.fixture
def trained() -> Trained:
    fleet = Fleet.gather(7)
    found = Trained(fleet, fleet.begin())
    found.dealt = dict(fleet.deposits)
    fleet.train(found.this)
    found.masked = dict(found.this._masked)
    return found


def test_who_opened_a_seed_opens_no_key_of_the_same_client(trained):
    holder = trained.fleet.clients["client-00"]
    holder.reveal(trained.unmask(trained.survivors(), "client-00"))
    lie = trained.survivors(VICTIM)
    with pytest.raises(SessionError, match="another set of survivors than this client was told"):
        holder.confirm(lie)
    with pytest.raises(SessionError, match="another set of survivors"):
        holder.reveal(trained.unmask(lie, "client-00"))
    holder.reveal(trained.unmask(trained.survivors(), "client-00"))  # the same again is no news


def test_who_confirmed_that_one_vanished_opens_no_seed_of_it(trained):
    holder = trained.fleet.clients["client-00"]
    holder.confirm(trained.survivors(VICTIM))
    with pytest.raises(SessionError, match="another set of survivors than this client was told"):
        holder.reveal(trained.unmask(trained.survivors(), "client-00"))


def test_nor_in_a_later_round_that_is_made_up_with_the_same_keys(trained):
    holder = trained.fleet.clients["client-00"]
    holder.reveal(trained.unmask(trained.survivors(), "client-00"))
    later = changed(trained.this.plan, number=trained.this.plan.number + 1)
    lie = Survivors(later, trained.survivors(VICTIM).names)
    with pytest.raises(SessionError, match="only one of its two secrets may be opened"):
        holder.confirm(lie)
    older = changed(trained.this.plan, participants=tuple(
        changed(p, serial=0) if p.name == VICTIM else p for p in later.participants
    ), number=later.number)  # fmt: skip
    with pytest.raises(SessionError, match="only one of its two secrets"):
        holder.confirm(Survivors(older, lie.names))


def test_a_server_that_tells_clients_of_different_survivors_is_refused(trained):
    names = trained.this.holders
    first, second = trained.survivors("client-05"), trained.survivors("client-06")
    confirmed = trained.confirmed(first, *names[:4]) | trained.confirmed(second, *names[4:])
    for name in names:
        told = first if name in names[:4] else second
        with pytest.raises(SessionError, match="was told other survivors"):
            trained.fleet.clients[name].reveal(trained.unmask(told, name, confirmed))
    # Leaving out the confirmations that disagree leaves too few.
    agreeing = {n: confirmed[n] for n in names[:4]}
    with pytest.raises(SessionError, match="4 holders confirm these survivors: expected at least"):
        trained.fleet.clients[names[0]].reveal(trained.unmask(first, names[0], agreeing))


def test_keys_are_not_opened_without_confirmations(trained):
    lie = trained.survivors(VICTIM)
    holder = trained.fleet.clients["client-00"]
    with pytest.raises(SessionError, match="did not confirm these survivors"):
        holder.reveal(trained.unmask(lie, "client-00"))
    holder.confirm(lie)
    with pytest.raises(SessionError, match="1 holders confirm"):
        holder.reveal(trained.unmask(lie, "client-00"))


def test_made_up_confirmations_do_not_open(trained):
    lie = trained.survivors(VICTIM)
    trained.fleet.clients["client-00"].confirm(lie)
    made_up = {n: tuple(bytes(60) for _ in range(7)) for n in trained.this.holders}
    with pytest.raises(SealError, match="do not open"):
        trained.fleet.clients["client-00"].reveal(trained.unmask(lie, "client-00", made_up))


def test_a_seeds_share_does_not_pass_for_a_keys_nor_another_clients(trained):
    holder = trained.fleet.clients["client-00"]
    right = trained.unmask(trained.survivors(), "client-00")
    key = trained.dealt[VICTIM].sealed[0]
    for place, other in ((1, key), (2, right.sealed[1])):
        sealed = tuple(other if i == place else s for i, s in enumerate(right.sealed))
        with pytest.raises(SealError, match="do not open"):
            holder.reveal(changed(right, sealed=sealed))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("client-00", VICTIM), "2 of 7 participants survived: expected at least 5"),
        (("client-00",) * 6, "each named once"),
        (tuple("abcdefg"), "survivors must be participants"),
    ],
)
def test_sums_of_too_few_or_of_strangers_are_not_unmasked(trained, names, message):
    with pytest.raises(SessionError, match=message):
        trained.fleet.clients["client-00"].confirm(Survivors(trained.this.plan, names))


def test_a_participant_knows_its_round(trained):
    plan = trained.this.plan
    other = changed(plan, participants=plan.participants[:-1])
    with pytest.raises(SessionError, match="is another than this client took part in"):
        trained.fleet.clients["client-00"].confirm(Survivors(other, other.names))


def test_masks_are_used_once(trained):
    client, plan = trained.fleet.clients["client-00"], trained.this.plan
    integers = any_integers(SMALL, np.random.default_rng(0))
    with pytest.raises(SessionError, match="masks are used once"):
        client.mask(plan, integers)
    with pytest.raises(SessionError, match="does not use this client's latest deposit"):
        client.mask(changed(plan, number=plan.number + 1), integers)


def test_a_client_that_helped_to_open_its_key_trains_with_it_no_more():
    fleet = Fleet.gather(4)
    this = fleet.begin()
    fleet.train(this, gone={VICTIM})  # nor will its message arrive
    survivors = this.ask_to_confirm()
    confirmed = {n: fleet.clients[n].confirm(survivors) for n in this.holders}
    fleet.clients[VICTIM].reveal(this.ask_to_unmask(confirmed)[VICTIM])
    with pytest.raises(SessionError, match="masks are used once"):
        fleet.clients[VICTIM].mask(this.plan, any_integers(SMALL, np.random.default_rng(0)))


@pytest.mark.parametrize("fault", ["few", "twice", "stranger", "session"])
def test_a_round_is_of_members_of_this_session(fault):
    fleet = Fleet.gather(4)
    plan = fleet.begin().plan
    people = plan.participants
    made_up, message = {
        "few": (changed(plan, participants=people[:2]), "expected at least 3"),
        "twice": (changed(plan, participants=(*people, people[-1])), "each named once"),
        "stranger": (
            changed(plan, participants=(*people, changed(people[0], name="x"))),
            "must be members",
        ),
        "session": (changed(plan, roster_digest=bytes(32)), "another session"),
    }[fault]
    with pytest.raises(SessionError, match=message):
        fleet.clients["client-00"].mask(made_up, any_integers(SMALL, np.random.default_rng(0)))


def test_a_round_that_hides_a_client_among_too_few_is_refused():
    fleet = Fleet.gather(6)
    for name in ("client-04", "client-05"):
        fleet.deposits.pop(name)
    plan = fleet.begin().plan
    careful = Client(fleet.clients["client-00"].memory, None, least=5)
    with pytest.raises(SessionError, match="4 participants: expected at least 5"):
        careful.mask(plan, any_integers(SMALL, np.random.default_rng(0)))


def test_a_roster_is_taken_once_and_with_ones_own_key():
    begun, session = {}, b"s" * 16
    for name in "abc":
        begun[name] = Client.begin(Begin(session), name, None)
    members = tuple(member for _, member in begun.values())
    client = begun["a"][0]
    other = Member("a", members[1].public)
    for roster, message in [
        (Roster(b"other", members, 3), "another session"),
        (Roster(session, members[1:], 2), "this client among them"),
        (Roster(session, (*members, members[1]), 4), "every member once"),
        (Roster(session, (other, *members[1:]), 3), "another key of a than its own"),
        (Roster(session, members, 2), "2 holders of 3 members"),
        (Roster(session, members, 4), "4 holders of 3 members"),
    ]:
        with pytest.raises(SessionError, match=message):
            client.join(roster)
    with pytest.raises(SessionError, match="has not joined"):
        client.deposit()
    client.join(Roster(session, members, 3))
    with pytest.raises(SessionError, match="a second one"):
        client.join(Roster(session, members, 3))


def test_keys_that_the_server_made_up_are_found_where_they_are_signed(tmp_path):
    authority, folders = Authority.create(tmp_path / "ca"), {}
    for name in ("a", "b", "c"):
        authority.enroll(name, tmp_path / name)
        folders[name] = tmp_path / name
    session = b"s" * 16
    begun = {n: Client.begin(Begin(session), n, f) for n, f in folders.items()}
    members = tuple(member for _, member in begun.values())
    stranger = Client.begin(Begin(session), "b", None)[1]
    for swapped in (stranger, changed(members[1], public=stranger.public)):
        roster = Roster(session, (members[0], swapped, members[2]), 3)
        with pytest.raises(IdentityError, match="party b"):
            begun["a"][0].join(roster)
    fleet = Fleet.gather(3, folders)
    plan = fleet.begin().plan
    people = tuple(
        changed(p, public=stranger.public) if p.name == "b" else p for p in plan.participants
    )
    with pytest.raises(IdentityError, match="party b: the key was not signed"):
        fleet.clients["a"].mask(
            changed(plan, participants=people), any_integers(SMALL, np.random.default_rng(0))
        )


def test_a_renewed_certificate_needs_a_new_session(tmp_path):
    authority, folders = Authority.create(tmp_path / "ca"), {}
    for name in ("a", "b", "c"):
        authority.enroll(name, tmp_path / name)
        folders[name] = tmp_path / name
    fleet = Fleet.gather(3, folders)
    authority.enroll("a", tmp_path / "a")
    with pytest.raises(SessionError, match="the certificate was renewed"):
        fleet.clients["a"].deposit()


def test_bytes_that_are_no_message_are_refused():
    for message in (b"", b"\xff", Begin(b"s").encode()):
        with pytest.raises(SessionError, match="no Plan of secure aggregation"):
            Plan.decode(message)
