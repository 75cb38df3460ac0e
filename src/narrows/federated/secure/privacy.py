"""Client-level differential privacy by Flower's own wrapper and accountant, for secure aggregation.

The server adds Gaussian noise to the mean that it unmasked, in proportion to what one client can
move it: clipping_norm / sampled, as quantised updates are at most that long and the sum is divided
by the number of clients sampled, whoever vanished. So the published models hide whether a client
took part at all; from the server, which sees sums without noise, it hides nothing.
"""

from flwr.serverapp import (
    NeighboringRelation,
    PrivacyConfig,
    RdpAccountant,
    SamplingMethod,
)
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg

from narrows.errors import ConfigError


def private(
    strategy: FedAvg,
    *,
    noise_multiplier: float,
    clipping_norm: float,
    sampled: int,
    population: int,
    delta: float,
    most_epsilon: float | None = None,
) -> DifferentialPrivacyClientSideFixedClipping:
    """FedAvg with noise, and an accountant of the epsilon spent; for SecureAggregation to wrap.

    `sampled` of `population` clients take part in a round; `most_epsilon`: no round is begun that
    would spend more. Sampling is not counted as amplification, which Flower's accountant knows for
    other strategies only.

    Raises:
        ConfigError: the accountant is not installed, or a number is out of its range.
    """
    try:
        accountant = RdpAccountant(
            PrivacyConfig(
                target_delta=delta,
                population_size=population,
                neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE,
                sampling_method=SamplingMethod.NO_AMPLIFICATION,
                max_epsilon=most_epsilon,
            )
        )
        return DifferentialPrivacyClientSideFixedClipping(
            strategy, noise_multiplier, clipping_norm, sampled, accountant=accountant
        )
    except ImportError as error:
        raise ConfigError(f"{error}") from None
    except ValueError as error:
        raise ConfigError(f"differential privacy: {error}") from None
