"""What happens to a batch: entropy decoding, then the network's second half. Runs in a thread."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from narrows.codec.bitstream import Packet
from narrows.errors import PacketError
from narrows.kernels import cuda
from narrows.models.tail_choice import Load, choose_core
from narrows.models.tasks.answer import Answer
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.admission import Job
from narrows.server.batching import Outcome
from narrows.server.history import CodedFrame
from narrows.server.pictures import decode_picture
from narrows.server.refusal import Refusal
from narrows.server.registry import ServedBundle
from narrows.server.results import result_of
from narrows.server.settings import ServerSettings

Input = NDArray[Any] | Tensor  # a latent, on the GPU if a tensor, or a picture's pixels
Decoded = Input | Refusal


class TailWorker:
    """Runs batches of one group each; one bad payload never harms its neighbours."""

    def __init__(self, threads: int):
        self._threads = threads

    def run(self, batch: Sequence[Job]) -> list[Outcome]:
        """Answer every job of a batch, in its order, with the stages' times."""
        started = time.monotonic_ns()
        decoded = self._decode(batch)
        inputs = [item for item in decoded if not isinstance(item, Refusal)]
        decoded_at = time.monotonic_ns()
        jobs = [j for j, d in zip(batch, decoded, strict=True) if not isinstance(d, Refusal)]
        answers = iter(_infer(jobs, _stacked(inputs)) if inputs else [])
        finished = time.monotonic_ns()

        def outcome(job: Job, item: Decoded) -> Outcome:
            if isinstance(item, Refusal):
                return item
            timing = inference_pb2.ServerTiming(
                received_ns=job.received_ns,
                queue_ns=started - job.received_ns,
                decode_ns=decoded_at - started,
                tail_ns=finished - decoded_at,
                batch_size=len(batch),
            )
            return result_of(job, next(answers), timing)

        return [outcome(job, item) for job, item in zip(batch, decoded, strict=True)]

    def _decode(self, batch: Sequence[Job]) -> list[Decoded]:
        packets = [job.payload for job in batch if isinstance(job.payload, Packet)]
        bundle = batch[0].bundle
        if bundle.tail.device.type == "cuda" and cuda.available():
            intra: Iterator[Input | PacketError] = iter(_decode_on_gpu(bundle, packets))
        else:
            intra = iter(bundle.codec.decode(packets, self._threads))
        return [_decoded(job, intra) for job in batch]


def warm_up(bundle: ServedBundle, settings: ServerSettings) -> None:
    """Choose how the tail runs, build what that takes, and run it: no frame pays for any of it."""
    torch.set_num_threads(settings.threads)  # of this thread, as the worker's will have
    tail, load = bundle.tail, Load(settings.threads, settings.max_batch)
    tail.core = choose_core(
        tail.tail, bundle.folder, bundle.manifest, tail.device, settings.tail, load
    )
    side = max(1, bundle.manifest.input.short_side // bundle.manifest.input.stride)
    for frames in {1, settings.max_batch}:
        latents = np.zeros((frames, bundle.codec.channels, side, side), np.float32)
        tail.answers(latents, [(0, 0)] * frames, frozenset(bundle.manifest.labels_of))


def _decode_on_gpu(bundle: ServedBundle, packets: Sequence[Packet]) -> list[Tensor | PacketError]:
    """Packets of one group -> each a float32 (C, h, w) where the tail is, or an error."""
    if not packets:
        return []
    header, device = packets[0].header, bundle.tail.device
    shape = (len(packets), bundle.codec.channels, header.height, header.width)
    latents = torch.empty(shape, device=device)
    stream = torch.cuda.current_stream(device).cuda_stream
    errors = bundle.codec.decode_on_gpu(packets, latents, stream)
    return [error or latent for error, latent in zip(errors, latents, strict=True)]


def _stacked(inputs: Sequence[Input]) -> Input:
    """One batch; on the GPU where any of it is there."""
    device = next((item.device for item in inputs if isinstance(item, Tensor)), None)
    if device is None:
        return np.stack(inputs)  # type: ignore[arg-type]
    return torch.stack([torch.as_tensor(item, device=device) for item in inputs])


def _decoded(job: Job, intra: Iterator[Input | PacketError]) -> Decoded:
    """A job's input; `intra`: what the batch's own packets gave, in order."""
    try:
        match job.payload:
            case Packet():
                found = next(intra)
                return Refusal.of(found) if isinstance(found, PacketError) else found
            case CodedFrame():
                frame = job.payload.reference()
                return job.bundle.codec.dequantise(frame.symbols, frame.point)
            case picture:
                return decode_picture(picture, job.bundle.manifest.input.stride)
    except PacketError as error:
        return Refusal.of(error)
    except Refusal as refusal:
        return refusal


def _infer(jobs: Sequence[Job], inputs: Any) -> list[Answer]:
    """Answers of jobs of one group."""
    tail, tasks = jobs[0].bundle.tail, jobs[0].tasks
    if isinstance(jobs[0].payload, Image):
        sizes = [(picture.height, picture.width) for picture in _pictures(jobs)]
        return tail.unsplit_answers(inputs, sizes, tasks)
    return tail.answers(inputs, [job.size for job in jobs], tasks)


def _pictures(jobs: Sequence[Job]) -> Iterator[Image]:
    for job in jobs:
        assert isinstance(job.payload, Image)
        yield job.payload
