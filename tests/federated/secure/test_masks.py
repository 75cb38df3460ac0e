"""Masks: the cipher's own words, every residue equally likely, the same at both ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from secure_rounds import SMALL, Fleet

from narrows.errors import IdentityError
from narrows.federated.secure.masks import pairwise_seed, words
from narrows.federated.secure.member import add_mask, take_mask
from narrows.federated.secure.packing import pack, packed_bytes, unpack
from narrows.federated.secure.terms import UpdateTerms
from narrows.security.sealed import PartyKey

# RFC 8439, appendix A.1, test vectors 1 and 2: key and nonce zero, blocks 0 and 1.
ZERO_KEY = bytes.fromhex(
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
    "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
)


def test_words_are_those_of_rfc_8439():
    assert words(bytes(32), 32).astype("<u4").tobytes() == ZERO_KEY


def test_a_seeds_words_are_pinned():
    assert words(bytes(range(32)), 3).tolist() == [2100034873, 1780073945, 1996733837]


def test_a_longer_stream_begins_as_a_shorter():
    assert (words(b"s" * 32, 1000)[:7] == words(b"s" * 32, 7)).all()


def test_two_clients_have_one_seed_and_no_third():
    a, b, c = (PartyKey.generate() for _ in range(3))
    seed = pairwise_seed(a, b.public, b"round")
    assert seed == pairwise_seed(b, a.public, b"round")
    assert len({seed, pairwise_seed(a, c.public, b"round"), pairwise_seed(a, b.public, b"2")}) == 3


def test_a_key_with_which_none_agrees_is_refused():
    with pytest.raises(IdentityError, match="with which none can agree"):
        pairwise_seed(PartyKey.generate(), bytes(32), b"round")


def test_a_mask_is_taken_off_as_it_was_put_on():
    head, coordinates = np.arange(3, dtype=np.uint32), np.arange(9, dtype=np.uint32)
    add_mask(head, coordinates, b"s" * 32)
    assert not (coordinates == np.arange(9)).any()
    take_mask(head, coordinates, b"s" * 32)
    assert (head == np.arange(3)).all()
    assert (coordinates == np.arange(9)).all()


@pytest.mark.parametrize("levels", [1, 7, 127])
def test_masked_coordinates_are_uniform_and_fresh_every_round(levels):
    terms = UpdateTerms(40_000, 40_000, 1.0, levels, 1, (), bytes(32))
    fleet, seen = Fleet.gather(4), []
    for _ in range(2):
        this = fleet.begin(terms)
        fleet.train(this)  # the same integers in both rounds
        masked = [m.coordinates for m in this._masked.values()]
        seen += [unpack(one, terms.coordinates, this.bits) for one in masked]
    bins, count = 1 << min(this.bits, 8), terms.coordinates
    for values in seen:
        for part in (values % bins, values >> (this.bits - 8 if this.bits > 8 else 0)):
            chi_square = ((np.bincount(part, minlength=bins) - count / bins) ** 2).sum()
            deviations = (chi_square / (count / bins) - (bins - 1)) / (2 * (bins - 1)) ** 0.5
            assert abs(deviations) < 7
    for i, one in enumerate(seen):
        for other in seen[:i]:
            equal = (one == other).mean() * (1 << this.bits)  # one of them by chance
            assert abs(equal - 1) < 7 * ((1 << this.bits) / count) ** 0.5


@given(
    bits=st.integers(1, 32),
    values=st.lists(st.integers(0, (1 << 32) - 1), max_size=40),
    repeats=st.sampled_from([1, 5000]),
)
def test_packed_residues_come_back(bits, values, repeats):
    residues = np.array(values * repeats, np.uint32) & np.uint32((1 << bits) - 1)
    packed = pack(residues, bits)
    assert len(packed) == packed_bytes(len(residues), bits)
    assert (unpack(packed, len(residues), bits) == residues).all()


def test_a_sum_fits_its_bits_and_no_fewer_do():
    for clients in (3, 50, 1000):
        for levels in (1, 7, 127):
            terms = UpdateTerms(10, 10, 1.0, levels, 1, (), bytes(32))
            bits, values = terms.coordinate_bits(clients), 2 * clients * levels + 1
            assert (1 << (bits - 1)) < values <= (1 << bits)
    assert SMALL.coordinate_bits(3) == 6
