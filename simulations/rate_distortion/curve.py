"""One method measured picture by picture, and kept on disk so that a benchmark resumes."""

import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from narrows.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Sample:
    """One operating point: whether each of n pictures was answered right, and its bytes."""

    point: str
    right: NDArray[np.bool_]  # (n,)
    sizes: NDArray[np.int64]  # (n,) bytes

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def bytes(self) -> float:
        return float(self.sizes.mean())


@dataclass(frozen=True, eq=False)
class Curve:
    """A method's operating points, and what its device does for one picture of the set's size."""

    method: str
    samples: tuple[Sample, ...]
    macs: int = 0  # of the encoder
    parameters: int = 0
    runtime: str = ""  # what ran the encoder

    def save(self, path: Path) -> None:
        """Write an .npz; a kill leaves the one before whole."""
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(
            partial,
            method=self.method, runtime=self.runtime,
            counts=np.array([self.macs, self.parameters]),
            points=np.array([s.point for s in self.samples]),
            right=np.stack([s.right for s in self.samples]),
            sizes=np.stack([s.sizes for s in self.samples]),
        )  # fmt: skip
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> "Curve":
        """Read what `save` wrote. Raises ConfigError when it is something else."""
        try:
            with np.load(path, allow_pickle=False) as held:
                samples = tuple(
                    Sample(str(point), right, sizes)
                    for point, right, sizes in zip(
                        held["points"], held["right"], held["sizes"], strict=True
                    )
                )
                macs, parameters = (int(n) for n in held["counts"])
                return cls(str(held["method"]), samples, macs, parameters, str(held["runtime"]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ConfigError(
                f"{path}: not a measured curve ({error}): delete it, and it is measured again"
            ) from None
