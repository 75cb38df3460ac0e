"""What happens to a batch: entropy decoding, then the network's second half. Runs in a thread."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from narrows.codec.bitstream import Packet
from narrows.errors import PacketError
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.admission import Job
from narrows.server.batching import Outcome
from narrows.server.pictures import decode_picture
from narrows.server.refusal import Refusal
from narrows.server.registry import ServedBundle

TOP_LABELS = 5

Decoded = NDArray[np.float32] | NDArray[np.uint8] | Refusal


class TailWorker:
    """Runs batches of one group each; one bad payload never harms its neighbours."""

    def __init__(self, threads: int):
        self._threads = threads

    def run(self, batch: Sequence[Job]) -> list[Outcome]:
        """Answer every job of a batch, in its order, with the stages' times."""
        started = time.monotonic_ns()
        decoded = self._decode(batch)
        good = [index for index, item in enumerate(decoded) if not isinstance(item, Refusal)]
        decoded_at = time.monotonic_ns()
        outcomes: list[Outcome] = [d if isinstance(d, Refusal) else _nothing() for d in decoded]
        if not good:
            return outcomes
        bundle = batch[0].bundle
        probabilities = _infer(batch[0], np.stack([decoded[index] for index in good]))
        finished = time.monotonic_ns()
        for row, index in enumerate(good):
            timing = inference_pb2.ServerTiming(
                received_ns=batch[index].received_ns,
                queue_ns=started - batch[index].received_ns,
                decode_ns=decoded_at - started,
                tail_ns=finished - decoded_at,
                batch_size=len(batch),
            )
            outcomes[index] = _result(batch[index].frame_id, bundle, probabilities[row], timing)
        return outcomes

    def _decode(self, batch: Sequence[Job]) -> list[Decoded]:
        if isinstance(batch[0].payload, Packet):
            packets = [job.payload for job in batch if isinstance(job.payload, Packet)]
            found = batch[0].bundle.codec.decode(packets, self._threads)
            return [Refusal.of(f) if isinstance(f, PacketError) else f for f in found]
        return [_picture(job) for job in batch]


def warm_up(bundle: ServedBundle) -> None:
    """One run of both networks, so that the first frame does not pay for allocations."""
    side = bundle.manifest.input.short_side // bundle.manifest.input.stride
    bundle.tail.run(np.zeros((1, bundle.codec.channels, side, side), np.float32))


def _picture(job: Job) -> Decoded:
    assert not isinstance(job.payload, Packet)
    try:
        return decode_picture(job.payload, job.bundle.manifest.input.stride)
    except Refusal as refusal:
        return refusal


def _infer(job: Job, inputs: NDArray) -> NDArray[np.float32]:
    tail = job.bundle.tail
    return tail.run(inputs) if isinstance(job.payload, Packet) else tail.run_unsplit(inputs)


def _nothing() -> inference_pb2.Result:
    return inference_pb2.Result()


def _result(
    frame_id: int, bundle: ServedBundle, probabilities: NDArray, timing: inference_pb2.ServerTiming
) -> inference_pb2.Result:
    labels = [
        inference_pb2.Classification.Label(
            index=int(i), name=bundle.manifest.labels[i], probability=float(probabilities[i])
        )
        for i in np.argsort(-probabilities)[:TOP_LABELS]
    ]
    classification = inference_pb2.Classification(labels=labels)
    return inference_pb2.Result(frame_id=frame_id, classification=classification, timing=timing)
