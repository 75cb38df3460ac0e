"""Service times of a made-up machine, so that planning and simulating need no measuring."""

from random import Random

from narrows.simulations.events.service import ServiceTimes


def service_times(base_ms: float = 6.0, frame_ms: float = 4.0) -> ServiceTimes:
    """Batches of `base_ms` and `frame_ms` a frame, each within a few percent."""
    rng = Random(0)

    def about(mean: float) -> tuple[float, ...]:
        return tuple(mean * rng.uniform(0.95, 1.1) for _ in range(50))

    return ServiceTimes(
        bundle="made up", machine={"cpu": "made up"}, date="2026-11-28", threads=1, max_batch=16,
        batch_ms={size: about(base_ms + frame_ms * size) for size in (1, 2, 4, 8, 16)},
        ranks=tuple(rng.random() for _ in range(500)),
        handover_ms=about(0.3), answer_ms={1: about(0.4), 16: about(1.0)}, idle_ms=about(0.4),
        busy_ms=about(0.8), loop_ms=0.3, head_ms=2.0,
        whole_ms=20.0, encode_ms={10: 0.2, 90: 0.6},
        picture_batch_ms={size: about(2 * base_ms + frame_ms * size) for size in (1, 16)},
    )  # fmt: skip
