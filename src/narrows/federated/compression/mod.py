"""The client's side in Flower: a mod that opens what the server sent and compresses what goes back.

    app = ClientApp(mods=[CompressionMod()])

    @app.train()
    def train(message, context): ...   # as ever: an ArrayRecord comes, an ArrayRecord goes

The model a client holds, the one before and what its last update left out are in `context.state`,
under names that begin with RECORD. A client whose state is lost says so with an error, and is sent
the whole model next time.
"""

from collections.abc import Sequence

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from narrows.errors import ConfigError, MissingReference, SessionError
from narrows.federated.compression.compressors import Reals
from narrows.federated.compression.contexts import Integers
from narrows.federated.compression.feedback import Compressor, Planned, compress
from narrows.federated.compression.layers import Layout, coded_of, exact_of
from narrows.federated.compression.messages import (
    DIFFERENCE,
    WHOLE,
    decode_difference,
    decode_whole,
    encode_update,
    header_of,
)
from narrows.federated.compression.model import Model
from narrows.federated.secure.mod import RECORD as SECURE

RECORD = (
    "narrows.compression"  # of ours in a message, and what begins our names in a client's state
)
HELD, BEFORE, BASE, LEFT = (f"{RECORD}.{name}" for name in ("held", "before", "base", "left"))


class CompressionMod:
    """Compresses what training returns. One for an app; it keeps nothing itself."""

    def __init__(self, compressor: Compressor | None = None, feedback: float = 1.0) -> None:
        """
        Parameters
        ----------
        compressor : Compressor or None
            What makes integers of an update; by default each layer's setting is planned.
        feedback : float
            How much of what an update left out is added to the next one, 0 to 1.

        Raises:
            ConfigError: feedback beyond those.
        """
        if not 0 <= feedback <= 1:
            raise ConfigError(f"feedback must be from 0 to 1, not {feedback}")
        self._compressor, self._feedback = compressor or Planned(), feedback

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Open the model, call what is wrapped, compress the arrays it returns, if any.

        Raises:
            SessionError: the server does not compress, or secure aggregation is on as well.
            MissingReference: a difference from a model that this client does not hold.
            PacketError: bytes that changed on the way.
            ConfigError: other arrays came back, or more than one record of them.
        """
        told = _told(message.content)
        model, run = _opened(told, context.state)
        error, key = told["error"], told["key"]
        if not isinstance(error, float) or not isinstance(key, str):
            raise SessionError("a message without its error budget or its arrays' name")
        others = {name: value for name, value in message.content.items() if name != RECORD}
        message.content = RecordDict({key: model.arrays(), **others})
        reply = call_next(message, context)
        if reply.has_error() or not reply.content.array_records:
            return reply
        if len(reply.content.array_records) > 1:
            raise ConfigError("training returned several records of arrays: expected one")
        update = self._update(next(iter(reply.content.array_records.values())), model, run, error,
                              context.state)  # fmt: skip
        plain = {
            n: value for n, value in reply.content.items() if not isinstance(value, ArrayRecord)
        }
        reply.content = RecordDict({RECORD: ConfigRecord({"update": update}), **plain})
        return reply

    def _update(
        self, after: ArrayRecord, model: Model, run: int, error: float, state: RecordDict
    ) -> bytes:
        trained = coded_of(after, model.layout)
        changes = [new - old for new, old in zip(trained, model.values(), strict=True)]
        left = _left(state, changes)
        coded, rests = compress(changes, left, model, error, self._compressor)
        kept = {str(i): Array(self._feedback * rest) for i, rest in enumerate(rests)}
        state[LEFT] = ArrayRecord(kept)
        return encode_update(coded, exact_of(after, model.layout), model, run)


def _told(content: RecordDict) -> ConfigRecord:
    """Our part of a message. Raises SessionError when there is none."""
    if SECURE in content:
        raise SessionError(
            "entropy-coded updates cannot be summed under masks: leave CompressionMod out, and use "
            "SecureAggregation(kept=, levels=), which compresses what can be summed"
        )
    told = content.config_records.get(RECORD)
    if told is None:
        raise SessionError(
            f"a message without {RECORD}: CompressedUpdates must be the server's strategy where "
            "CompressionMod is the clients'"
        )
    return told


def _opened(told: ConfigRecord, state: RecordDict) -> tuple[Model, int]:
    """The model that was sent, after it has been kept; and the run's number."""
    strings = told["strings"]
    if not isinstance(strings, list) or not all(isinstance(s, bytes) for s in strings):
        raise SessionError("a message without a model's strings")
    run, model = 0, None
    for string in strings:
        if not isinstance(string, bytes):
            continue
        header = header_of(string)
        if header.kind == WHOLE:
            model = decode_whole(string)
            _forget(state)
        elif header.kind == DIFFERENCE:
            before = _held(state, header.run, header.before) if model is None else model
            if model is None:
                _keep(BEFORE, before, header.run, state)
            model = decode_difference(string, before)
        run = header.run
    if model is None:
        raise SessionError("a message without a model")
    _keep(HELD, model, run, state)
    return model, run


def _held(state: RecordDict, run: int, version: int) -> Model:
    """The version of a model that is kept here, the newest or the one before."""
    for name in (HELD, BEFORE):
        config = state.config_records.get(name)
        if config is not None and config["run"] == run and config["version"] == version:
            return _read(name, state)
    raise MissingReference(
        f"version {version} of run {run} is not here (a restart loses it): send the whole model"
    )


def _keep(name: str, model: Model, run: int, state: RecordDict) -> None:
    state[name] = ConfigRecord(
        {
            "run": run,
            "version": model.version,
            "layout": model.layout.encode(),
            "exact": model.exact,
        }
    )
    state[f"{name}.moved"] = _integers(model.moved)
    state[BASE] = _integers(model.base)  # the same for all versions of a run


def _read(name: str, state: RecordDict) -> Model:
    config = state.config_records[name]
    layout, exact, version = config["layout"], config["exact"], config["version"]
    if (
        not isinstance(layout, bytes)
        or not isinstance(exact, bytes)
        or not isinstance(version, int)
    ):
        raise MissingReference("what this client kept cannot be read: send the whole model")
    base, moved = (
        tuple(array.numpy() for array in state.array_records[record].values())
        for record in (BASE, f"{name}.moved")
    )
    return Model(Layout.decode(layout), version, base, moved, exact)


def _integers(parts: Sequence[Integers]) -> ArrayRecord:
    return ArrayRecord({str(index): Array(part) for index, part in enumerate(parts)})


def _left(state: RecordDict, changes: Sequence[Reals]) -> list[Reals]:
    """What the last update left out; nothing, when there was none."""
    record = state.array_records.get(LEFT)
    if record is None:
        return [np.zeros_like(change) for change in changes]
    return [array.numpy() for array in record.values()]


def _forget(state: RecordDict) -> None:
    """A whole model begins anew: what is left of another run's updates belongs to no model here."""
    for name in [name for name in state if name.startswith(RECORD)]:
        del state[name]
