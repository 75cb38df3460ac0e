"""Who sees what of a party: its folder, the coordinator's messages, the evaluators' shares."""

import stat
from dataclasses import replace

import numpy as np
import pytest
from vertical_group import COLUMNS, Group, table_of, tables, terms_of

from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.sharing.party import RoundShare


@pytest.fixture
def group(tmp_path) -> Group:
    group = Group(tmp_path)
    return group.begin(terms_of(group.names))


def test_the_folder_and_its_files_are_for_the_owner_alone(group):
    group.share(1, 0)
    for each in group.settings:
        assert stat.S_IMODE(each.folder.stat().st_mode) == 0o700
        files = list(each.folder.iterdir())
        assert len(files) == 5 + len(group.names)
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def needles(group: Group) -> dict[str, set[bytes]]:
    """What must not be found in what the coordinator was sent: any two neighbours are a find."""
    bounds, found = group.terms.bounds, {"columns": set(), "embeddings": set(), "weights": set()}
    for party in group.parties:
        x = group.terms.schedule.arrange(party.kept.table())
        weights = party.kept.learnt()
        rounded = np.rint(x * 2.0**bounds.data.scale_bits).astype("<i8")
        whole_weights = np.rint(weights * 2.0**bounds.weights.scale_bits).astype("<i8")
        for kind, real, fixed, bits in [
            ("columns", x, rounded, 12),
            ("embeddings", x @ weights[0], rounded @ whole_weights[0], 24),
            ("weights", weights, whole_weights, 12),
        ]:
            for values in (real, fixed * 0.5**bits):
                found[kind] |= windows(values, "<f4", 2) | windows(values, "<f8", 1)
            residues = np.where(fixed < 0, fixed + bounds.parameters.prime, fixed)
            found[kind] |= windows(fixed, "<i8", 1) | windows(residues, "<u8", 1)
    return found


def windows(values: np.ndarray, kind: str, number: int) -> set[bytes]:
    """Eight bytes of each run of so many neighbours, by rows and by columns.

    Not those of small numbers, nearly all zeros: positions in sets are such numbers too.
    """
    found = set()
    for order in (values, np.moveaxis(values, -1, 0)):
        data = order.astype(kind).ravel()
        runs = {data[at : at + number].tobytes() for at in range(len(data) - number + 1)}
        found |= {run for run in runs if run.count(0) < 6}
    return found


def finds(messages: list[bytes], wanted: set[bytes]) -> int:
    length = len(next(iter(wanted)))
    assert {len(each) for each in wanted} == {length}
    return sum(
        message[at : at + length] in wanted
        for message in messages
        for at in range(len(message) - length + 1)
    )


def run_through(group: Group) -> list[bytes]:
    """A few rounds; all that the coordinator was sent in the session, set-up and end included."""
    for step in range(3):
        told = [group.gradient(step, step - 1)] if step else []
        if group.terms.protected:
            group.round(step + 1, step, told)
        else:
            for n in range(5):
                group.ask(n, pb.Embed(round=step + 1, step=step, gradients=told))
    for n in range(5):
        group.ask(n, pb.Finish())
    return group.received


def test_no_message_to_the_coordinator_has_a_partys_embedding_columns_weights_or_ids(tmp_path):
    group = Group(tmp_path)
    group.begin(terms_of(group.names))
    wanted = needles(group)  # of the first round; and of the last
    messages = run_through(group)
    for kind, more in needles(group).items():
        assert finds(messages, wanted[kind] | more) == 0, kind
    everything = b"\0".join(messages)
    ids = {text.encode() for each in group.settings for text in each.table.ids}
    assert not [text for text in ids if text in everything]
    assert {m.WhichOneof("content") for m in map(pb.PartyMessage.FromString, messages)} == {
        "introduction", "blinded", "located", "tables", "kept", "shares", "response", "finished",
    }  # fmt: skip


def test_the_same_search_finds_the_embeddings_of_the_plain_mode(tmp_path):
    group = Group(tmp_path, allow_plain=True)
    group.begin(terms_of(group.names, protected=False))
    exact = windows_of_embeddings(group)
    step = pb.Embed(round=1, step=0)
    for n in range(5):
        group.ask(n, step)
    b, width = len(group.terms.schedule.step(0).rows), group.terms.width
    assert finds(group.received, exact) == 5 * b * (width - 1)  # neighbours in one row


def windows_of_embeddings(group: Group) -> set[bytes]:
    """As `needles`, by the quantised columns that a party computes on."""
    found = set()
    for party in group.parties:
        scale = 2.0**group.terms.bounds.data.scale_bits
        x = group.terms.schedule.arrange(np.rint(party.kept.table() * scale) / scale)
        found |= windows(x @ party.kept.learnt()[0], "<f4", 2)
    return found


def test_equal_tables_and_weights_give_messages_of_equal_lengths(tmp_path):
    """Lengths are all that a relay is told: they are those of the numbers agreed on."""
    lengths = []
    for n, scale in enumerate((1.0, 1e-3)):
        group = Group(tmp_path / str(n))
        group.settings[0] = replace(
            group.settings[0],
            table=table_of(COLUMNS[0], tables()[0].ids, seed=int(1 / scale)),
        )
        group.restart(0)
        group.begin(terms_of(group.names))
        group.round(1, 0)
        lengths.append([len(message) for message in group.received])
    assert lengths[0] == lengths[1]


def test_what_t_evaluators_open_of_a_holder_differs_from_round_to_round(group):
    """Fresh masks: the same weights are shared twice, and no element is the same."""
    group.share(1, 0)
    texts = []
    for round in (2, 3):
        sealed = group.share(round, 0)[1].sealed[0]
        rounds = group.parties[0]._rounds
        text = rounds._channel.open("party-1", rounds._kind("round"), round, sealed)
        texts.append(RoundShare.decode(text, group.terms, 1, 4))
    assert not (texts[0].weights == texts[1].weights).any()
    assert not (texts[0].zero == texts[1].zero).any()
