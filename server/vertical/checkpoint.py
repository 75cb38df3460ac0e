"""What a coordinator keeps of a session, so that it can end at any moment and go on.

session.json     the terms, the common records' ids in the agreed order, the classes
top.safetensors  the top network and what Adam remembers; the part it ends with
shares-N         of a party that is away: its last shares, sealed, which stand in for it
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from google.protobuf.message import DecodeError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from narrows.errors import ConfigError, SessionError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical.gradients import Gradients, Told
from narrows.server.vertical.top import Learner
from narrows.sharing.terms import Terms

SESSION, TOP, SHARES = "session.json", "top.safetensors", "shares"
FAR = 1 << 20  # rounds: beyond any that parties may have been asked for since


@dataclass(frozen=True)
class Epoch:
    """What one pass gave. accuracy: of the held-out records; None: there are none, or no labels."""

    epoch: int
    loss: float
    accuracy: float | None
    seconds: float  # since the first round


@dataclass
class Progress:
    """Where a session is."""

    step: int = 0
    round: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of this epoch's steps
    seconds: float = 0.0


@dataclass(frozen=True)
class Session:
    """What stands from the first round on."""

    terms: Terms
    ids: list[str]  # of the common records
    classes: tuple[str, ...]
    hidden: tuple[int, ...]  # of the top network

    def learner(self, seed: int) -> Learner:
        return Learner(
            self.terms.width, len(self.classes), self.hidden, self.terms.learning.rate, seed
        )


class Checkpoint:
    """One session in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[int, int] = {}  # the round of each file of shares

    def begin(self, session: Session) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        told = {
            "terms": session.terms.encoded.decode(),
            "ids": session.ids,
            "classes": session.classes,
            "hidden": session.hidden,
        }
        self._write(SESSION, json.dumps(told).encode())

    def save(
        self, session: Session, learner: Learner, progress: Progress, gradients: Gradients
    ) -> None:
        """Whole or not at all: the network carries the progress it belongs to."""
        tensors = dict(learner.top.state_dict())
        for i, remembered in learner.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v for k, v in remembered.items()}
        told = {
            "progress": json.dumps(asdict(progress)),
            "gradients": json.dumps(
                [[t.gradient.SerializeToString().hex(), sorted(t.fresh)] for t in gradients.latest]
            ),
            "terms": session.terms.digest.hex(),
        }
        self._write(TOP, save(tensors, told))

    def hold(self, shares: Mapping[int, pb.Shares]) -> None:
        """What stands in for parties that are away; those of others are not needed any more."""
        for party in self._held.keys() - shares.keys():
            (self.folder / f"{SHARES}-{party}").unlink(missing_ok=True)
        for party, told in shares.items():
            if self._held.get(party) != told.round:
                self._write(f"{SHARES}-{party}", told.SerializeToString())
        self._held = {party: told.round for party, told in shares.items()}

    def held(self) -> dict[int, pb.Shares]:
        """By party. Raises SessionError."""
        try:
            found = {
                int(path.name.partition("-")[2]): pb.Shares.FromString(path.read_bytes())
                for path in self.folder.glob(f"{SHARES}-*")
            }
        except (OSError, ValueError, DecodeError) as error:
            raise SessionError(f"{self.folder}: cannot go on from its shares: {error}") from None
        self._held = {party: told.round for party, told in found.items()}
        return found

    def session(self) -> Session | None:
        """The session that stands here; None where none does. Raises SessionError."""
        path = self.folder / SESSION
        if not path.exists():
            return None
        try:
            told = json.loads(path.read_bytes())
            return Session(
                Terms.decode(str(told["terms"]).encode()), [str(text) for text in told["ids"]],
                tuple(map(str, told["classes"])), tuple(map(int, told["hidden"])),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
            raise SessionError(
                f"{path}: not a session: {error}: another folder begins anew"
            ) from None

    def resume(self, session: Session, learner: Learner) -> tuple[Progress, Gradients]:
        """Where that session was; the learner is as it was."""
        path = self.folder / TOP
        try:
            tensors, told = load_file(path), _metadata(path)
            if told["terms"] != session.terms.digest.hex():
                raise ValueError("of another session")
            top = {k: v for k, v in tensors.items() if not k.startswith("adam.")}
            learner.top.load_state_dict(top)
            state = learner.optimiser.state_dict()
            for key in tensors.keys() - top.keys():
                _, i, name = key.split(".")
                state["state"].setdefault(int(i), {})[name] = tensors[key]
            learner.optimiser.load_state_dict(state)
            progress = Progress(**json.loads(told["progress"]))
            progress.epochs = [Epoch(**epoch) for epoch in progress.epochs]  # type: ignore[arg-type]
            progress.round += FAR
            gradients = Gradients(
                Told(pb.Gradient.FromString(bytes.fromhex(text)), frozenset(fresh))
                for text, fresh in json.loads(told["gradients"])
            )
            return progress, gradients
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise SessionError(f"{path}: cannot go on from it: {error}") from None

    def _write(self, name: str, data: bytes) -> None:
        arriving = self.folder / f".{name}"
        arriving.write_bytes(data)
        os.replace(arriving, self.folder / name)


def _metadata(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def load_top(folder: Path, learner: Learner) -> None:
    """Only the network, to predict with. Raises SessionError."""
    path = folder / TOP
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
        top = {k: v for k, v in tensors.items() if not k.startswith("adam.")}
        learner.top.load_state_dict(top)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise SessionError(f"{path}: no top network of this shape: {error}") from None
