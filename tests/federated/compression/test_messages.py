"""The byte strings: they come back, they name what is wrong with them, and they do not change."""

import contextlib
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower has no release for this Python")

from compressed import arrays, first, trained
from flwr.app import Array, ArrayRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import (
    ChecksumError,
    ConfigError,
    CorruptPayload,
    MissingReference,
    PacketError,
    TruncatedPacket,
    UnsupportedVersion,
)
from narrows.federated.compression.compressors import Coded, approximation, low_rank, ternary
from narrows.federated.compression.feedback import Planned, compress, steps_towards
from narrows.federated.compression.layers import Layout, coded_of, exact_of
from narrows.federated.compression.messages import (
    HEADER_BYTES,
    decode_difference,
    decode_update,
    decode_whole,
    encode_difference,
    encode_update,
    encode_whole,
    header_of,
)
from narrows.federated.compression.model import Model
from narrows.kernels.coder import crc32c

GOLDEN = Path(__file__).parent / "golden"
RUN = 0x01020304


def later(model: Model, seed: int = 1) -> tuple[Model, bytes]:
    """A version that follows, near to where training went; and the string that leads to it."""
    after = trained(model.arrays(), np.random.default_rng(seed))
    values = coded_of(after, model.layout)
    coded, steps = steps_towards(values, model, 0.3, Planned())
    led = model.stepped(model.version + 1, steps, exact_of(after, model.layout))
    return led, encode_difference(coded, model, led, RUN)


def same(one: Model, other: Model) -> bool:
    pairs = [*zip(one.base, other.base, strict=True), *zip(one.moved, other.moved, strict=True)]
    return (
        (one.layout, one.version, one.exact) == (other.layout, other.version, other.exact)
        and all(a.dtype == b.dtype and (a == b).all() for a, b in pairs)
    )  # fmt: skip


def an_update(model: Model) -> tuple[bytes, list]:
    """Of every kind: low rank, ternary, levels, nothing. And what it stands for."""
    after = trained(model.arrays(), np.random.default_rng(5))
    changes = [
        new - old for new, old in zip(coded_of(after, model.layout), model.values(), strict=True)
    ]
    tensors = model.layout.coded
    coded = [low_rank(changes[0], tensors[0], 2), *(ternary(c, 0.2) for c in changes[1:])]
    wanted = [approximation(c, t) for c, t in zip(coded, tensors, strict=True)]
    return encode_update(coded, exact_of(after, model.layout), model, RUN), wanted


def test_a_model_and_its_differences_come_back_bit_for_bit():
    model = first()
    held = decode_whole(encode_whole(model, RUN))
    assert same(held, model)
    for seed in range(4):
        model, data = later(model, seed)
        held = decode_difference(data, held)
        assert same(held, model)


def test_a_first_model_is_as_near_as_was_asked():
    for error in (0.3, 0.03, 0.003):
        model = Model.first(arrays(), error)
        wanted = arrays()["dense.weight"].numpy()
        found = model.arrays()["dense.weight"].numpy()
        assert np.linalg.norm(found - wanted) < error * np.linalg.norm(wanted)
        assert np.linalg.norm(found - wanted) > error / 5 * np.linalg.norm(wanted)
        assert model.arrays()["norm.running_var"].numpy().tobytes() == model.exact[8:88]


def test_an_update_comes_back_as_the_client_computed_it():
    model, _ = later(first())
    data, wanted = an_update(model)
    changes, exact = decode_update(data, model)
    assert all(np.allclose(a, b, atol=1e-7) for a, b in zip(changes, wanted, strict=True))
    assert struct.unpack("<q", exact[-8:]) == (5 + 3 + 3,)


def test_error_feedback_brings_everything_in_the_end():
    """The sum of what was sent is the sum of what was to be sent, less what is left."""
    model, rests = first(), None
    chance = np.random.default_rng(3)
    wanted = sent = 0.0
    for _ in range(12):
        changes = [chance.normal(size=t.size).astype(np.float32) for t in model.layout.coded]
        rests = rests or [np.zeros_like(c) for c in changes]
        coded, rests = compress(changes, rests, model, 0.7, Planned())
        wanted = wanted + changes[0]
        sent = sent + approximation(coded[0], model.layout.coded[0])
    assert np.allclose(wanted, sent + rests[0], atol=1e-4)
    assert np.linalg.norm(rests[0]) < 0.95 * np.linalg.norm(wanted)


def test_the_budget_is_kept():
    model, _ = later(first())
    changes = [np.random.default_rng(3).normal(size=t.size).astype(np.float32)
               for t in model.layout.coded]  # fmt: skip
    whole = sum(float(np.square(c).sum()) for c in changes)
    for error in (0.9, 0.5, 0.2):
        _, rests = compress(changes, [np.zeros_like(c) for c in changes], model, error, Planned())
        left = sum(float(np.square(r).sum()) for r in rests)
        assert 0.5 * error * whole < left <= error * whole * 1.001


@pytest.mark.parametrize("kind", ["whole", "difference", "update"])
def test_golden_strings_are_read_as_ever(kind):
    model = decode_whole((GOLDEN / "whole.bin").read_bytes())
    data = (GOLDEN / f"{kind}.bin").read_bytes()
    with np.load(GOLDEN / "expected.npz", allow_pickle=False) as expected:
        if kind == "whole":
            assert same(model, Model(model.layout, 0, (expected["base"],),
                                     (np.zeros_like(expected["base"]),), b""))  # fmt: skip
            assert encode_whole(model, RUN) == data
        elif kind == "difference":
            after = decode_difference(data, model)
            assert (after.moved[0] == expected["moved"]).all()
        else:
            changes, _ = decode_update(data, model)
            assert (changes[0] == expected["change"]).all()


def strings() -> list[bytes]:
    model = first()
    return [encode_whole(model, RUN), later(model)[1], an_update(model)[0]]


MODEL, STRINGS = first(), strings()


def decode(data: bytes) -> None:
    """As whatever it says it is."""
    kind = header_of(data).kind
    [decode_whole, lambda d: decode_difference(d, MODEL), lambda d: decode_update(d, MODEL)][
        min(kind, 2)
    ](data)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(STRINGS), st.data())
def test_any_changed_byte_is_found(data, choose):
    place = choose.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[place] ^= choose.draw(st.integers(1, 255))
    with pytest.raises(PacketError):
        decode(bytes(changed))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STRINGS), st.integers(0, 10_000))
def test_a_cut_string_is_found(data, kept):
    with pytest.raises((TruncatedPacket, ChecksumError)):
        decode(data[: kept % len(data)])


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(STRINGS), st.data())
def test_hostile_bytes_with_a_right_checksum_give_named_errors_or_a_model(data, choose):
    hostile = bytearray(data)
    for _ in range(choose.draw(st.integers(1, 6))):
        hostile[choose.draw(st.integers(HEADER_BYTES, len(data) - 1))] = choose.draw(
            st.integers(0, 255)
        )
    if choose.draw(st.booleans()):
        hostile = hostile[: choose.draw(st.integers(HEADER_BYTES, len(data)))]
    with contextlib.suppress(PacketError):
        decode(resealed(hostile))


def resealed(data: bytearray) -> bytes:
    head, body = bytes(data[: HEADER_BYTES - 4]), bytes(data[HEADER_BYTES:])
    return head + struct.pack("<I", crc32c(head + body)) + body


def test_few_bytes_that_announce_much_memory_are_refused():
    layout = msgspec.msgpack.encode(((("w", "float32", (1 << 14, 1 << 14)),), (0,)))
    body = struct.pack("<I", len(layout)) + layout + b"\0"
    head = bytearray(STRINGS[0][:HEADER_BYTES])
    with pytest.raises(CorruptPayload, match="too few"):
        decode_whole(resealed(head + body))


@pytest.mark.parametrize(
    "tensor",
    [
        ("w", "object", (4,)),
        ("w", "float32", (-1, 4)),
        ("w", "float32", (1 << 31,)),
        ("w" * 300, "float32", (4,)),
        ("w", "float32", (1,) * 9),
    ],
)
def test_impossible_layouts_are_refused(tensor):
    with pytest.raises(CorruptPayload):
        Layout.decode(msgspec.msgpack.encode(((tensor,), ())))


def test_what_does_not_belong_together_is_refused():
    model = first()
    second, _ = later(model)
    with pytest.raises(MissingReference):
        decode_difference(later(second)[1], model)
    with pytest.raises(MissingReference):
        decode_update(an_update(second)[0], model)
    with pytest.raises(PacketError, match="expected an update"):
        decode_update(STRINGS[0], model)
    with pytest.raises(PacketError, match="not a compressed update"):
        header_of(b"XX" + STRINGS[0][2:])
    newer = bytearray(STRINGS[0])
    newer[2] = 2 << 4
    with pytest.raises(UnsupportedVersion):
        header_of(bytes(newer))


def test_models_that_cannot_be_coded_are_refused():
    with pytest.raises(ConfigError, match="not finite"):
        Model.first(ArrayRecord({"w": Array(np.full(20, np.nan, np.float32))}), 0.1)
    with pytest.raises(ConfigError, match="complex"):
        Model.first(ArrayRecord({"w": Array(np.zeros(20, np.complex64))}), 0.1)


def test_an_update_of_numbers_beyond_float32_is_refused():
    """One client must not make the mean infinite."""
    tensor = MODEL.layout.coded[0]
    huge = [ternary(np.ones(t.size, np.float32), 0.1) for t in MODEL.layout.coded]
    huge[0] = Coded(0, (3e38,), (np.full(tensor.size, 2, np.int32),))
    with pytest.raises(CorruptPayload, match="finite"):
        decode_update(encode_update(huge, MODEL.exact, MODEL, RUN), MODEL)
