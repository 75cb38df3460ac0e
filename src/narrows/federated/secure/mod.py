"""The client's side in Flower: a mod around training, and answers to the server's queries.

    secure = SecureMod(credentials)            # None: unsigned keys, for an honest server alone
    app = ClientApp()
    secure.answer(app)

    @app.train(mods=[secure])
    def train(message, context): ...           # as ever: arrays back, and "num-examples"

What a client must keep is in `context.state`, under RECORD. A training that the server did not ask
to mask is refused: no update leaves in the clear. What evaluation replies is not masked.
"""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from cryptography import x509
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from narrows.errors import ConfigError, SessionError
from narrows.federated.secure.member import Client, Memory
from narrows.federated.secure.messages import (
    LEAST_CLIENTS,
    Begin,
    Deal,
    Plan,
    Survivors,
    Told,
    Unmask,
)
from narrows.federated.secure.updates import Reals, quantise
from narrows.security.files import read_credentials
from narrows.security.identity import device_named_by

RECORD = "narrows.secure"  # of ours in a message, and in a client's state
QUERIES = KEYS, SHARES, CONFIRM, UNMASK = (
    "secure_keys", "secure_shares", "secure_confirm", "secure_unmask",
)  # fmt: skip


class SecureMod:
    """Masks what training returns. One for an app; it keeps nothing itself."""

    def __init__(
        self,
        credentials: Path | None = None,
        least_clients: int = LEAST_CLIENTS,
        weighted_by_key: str = "num-examples",
    ) -> None:
        """
        Parameters
        ----------
        credentials : Path or None
            The device's folder, by which its keys are signed and others' are checked.
        least_clients : int
            A round of fewer is refused: so many less the server's accomplices hide each other.
        weighted_by_key : str
            The metric that holds the number of examples.

        Raises:
            ConfigError: fewer than three clients, whose sums would tell each the others' updates.
        """
        if least_clients < LEAST_CLIENTS:
            raise ConfigError(
                f"least_clients must be at least {LEAST_CLIENTS}, not {least_clients}"
            )
        self._folder, self._least = credentials, least_clients
        self._weighted_by_key = weighted_by_key

    def answer(self, app: ClientApp) -> None:
        """Let an app answer the queries `secure_keys`, `_shares`, `_confirm` and `_unmask`."""
        for action in QUERIES:
            app.query(action)(partial(self.exchange, action))

    def exchange(self, action: str, message: Message, context: Context) -> Message:
        """Answer one of QUERIES. Raises SessionError, IdentityError, SealError or SharingError."""
        answers = {
            KEYS: self._keys, SHARES: self._shares, CONFIRM: self._confirm, UNMASK: self._unmask
        }  # fmt: skip
        return answers[action](message, context)

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Train, and reply with the masked update alone.

        Raises:
            SessionError: the server asked for no masks, or the protocol forbids to answer.
            ConfigError: a reply without its arrays, examples or metrics.
        """
        plan, client = Plan.decode(told(message.content)), self._client(context)
        plain = {key: record for key, record in message.content.items() if key != RECORD}
        message.content = RecordDict(plain)
        before = _only(list(message.content.array_records.values()), "arrays")
        reply = call_next(message, context)
        if reply.has_error():
            return reply
        after = _only(list(reply.content.array_records.values()), "arrays")
        if list(before) != list(after):
            raise ConfigError(f"training returned {list(after)}: expected {list(before)}")
        numbers = _only(list(reply.content.metric_records.values()), "metrics")
        metrics = {k: float(v) for k, v in numbers.items() if not isinstance(v, list)}
        if self._weighted_by_key not in metrics:
            raise ConfigError(f"training returned no {self._weighted_by_key}")
        quantised = quantise(
            flat(after) - flat(before),
            int(metrics[self._weighted_by_key]),
            metrics,
            plan.terms,
            len(plan.participants),
            np.random.default_rng(),
        )
        return _reply(client.mask(plan, quantised), client, message, context)

    def _keys(self, message: Message, context: Context) -> Message:
        name = device_of(self._folder) if self._folder else str(context.node_id)
        begin = Begin.decode(told(message.content))
        client, member = Client.begin(begin, name, self._folder, self._least)
        return _reply(member, client, message, context)

    def _shares(self, message: Message, context: Context) -> Message:
        client, deal = self._client(context), Deal.decode(told(message.content))
        if deal.roster is not None:
            client.join(deal.roster)
        return _reply(client.deposit(), client, message, context)

    def _confirm(self, message: Message, context: Context) -> Message:
        client, survivors = self._client(context), Survivors.decode(told(message.content))
        return _reply(client.confirm(survivors), client, message, context)

    def _unmask(self, message: Message, context: Context) -> Message:
        client, unmask = self._client(context), Unmask.decode(told(message.content))
        return _reply(client.reveal(unmask), client, message, context)

    def _client(self, context: Context) -> Client:
        record = context.state.config_records.get(RECORD)
        kept = None if record is None else record["memory"]
        if not isinstance(kept, bytes):
            raise SessionError("this client is in no session: a server must ask for keys first")
        memory = msgspec.msgpack.decode(kept, type=Memory)
        return Client(memory, self._folder, self._least)


def told(content: RecordDict) -> bytes:
    """Our part of a message. Raises SessionError when there is none."""
    record = content.config_records.get(RECORD)
    message = None if record is None else record.get("message")
    if not isinstance(message, bytes):
        raise SessionError(
            f"a message without {RECORD}: secure aggregation must be on at server and client"
        )
    return message


def telling(message: Told) -> RecordDict:
    """The content of a message of ours."""
    return RecordDict({RECORD: ConfigRecord({"message": message.encode()})})


def flat(arrays: ArrayRecord) -> Reals:
    """All numbers of all arrays with a point, in their order; counters are no part of an update."""
    values = (array.numpy() for array in arrays.values())
    parts = [v.astype(np.float64).ravel() for v in values if np.issubdtype(v.dtype, np.floating)]
    return np.concatenate([np.empty(0), *parts])


def _reply(answer: Told, client: Client, message: Message, context: Context) -> Message:
    memory = msgspec.msgpack.encode(client.memory)
    context.state[RECORD] = ConfigRecord({"memory": memory})
    return Message(telling(answer), reply_to=message)


def device_of(folder: Path) -> str:
    """The name on a device's certificate. Raises ConfigError for credentials of none."""
    _, _, pem = read_credentials(folder, "device")
    device = device_named_by(x509.load_pem_x509_certificate(pem))
    if device is None:
        raise ConfigError(f"{folder}: the certificate names no device: `narrows pki enroll`")
    return device.name


def _only(records: list[Any], what: str) -> Any:
    if len(records) != 1:
        raise ConfigError(f"expected one record of {what} to train with, got {len(records)}")
    return records[0]
