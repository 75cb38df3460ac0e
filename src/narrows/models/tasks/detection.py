"""Boxes: torchvision's detectors over the maps of a shared body, through a feature pyramid.

`fcos` (Tian et al., ICCV 2019) has no anchors and trains on two cores; `retinanet` (Lin et al.,
ICCV 2017) and `faster_rcnn` (Ren et al., NeurIPS 2015) are those that published splits used.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from narrows.errors import ConfigError

KINDS = ("fcos", "retinanet", "faster_rcnn")
RATIOS = (0.5, 1.0, 2.0)  # of anchors
BEST = 100  # boxes of one frame
OVERLAP = 0.5  # of two boxes of a class, above which the lesser goes


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one frame, best first, in pixels of the picture as the network saw it."""

    boxes: NDArray[np.float32]  # (n, 4): x0, y0, x1, y1
    scores: NDArray[np.float32]  # (n,)
    classes: NDArray[np.int64]  # (n,)


class DetectionHead(nn.Module):
    """Maps at rising strides -> boxes; one more level, at twice the last stride, is added."""

    def __init__(
        self,
        labels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        kind: str = "fcos",
        width: int = 64,
        convs: int = 2,
        threshold: float = 0.05,
    ):
        """`channels` and `strides`: of the maps.

        Raises:
            ConfigError: an unknown kind, or a width that is no multiple of 64: 32 groups are
                normalised, and one channel of one position has no deviation.
        """
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"detector {kind!r}: choose one of: {', '.join(KINDS)}")
        if width % 64:
            raise ConfigError(f"a detector {width} wide: expected a multiple of 64")
        self.kind = kind
        self.pyramid = FeaturePyramidNetwork(list(channels), width, LastLevelMaxPool())
        self.detector = _detector(
            kind, labels, width, convs, (*strides, 2 * strides[-1]), threshold
        )

    def forward(
        self, maps: Sequence[Tensor], size: tuple[int, int], targets: list[dict[str, Tensor]] | None
    ) -> Any:
        """Maps (batch, c, h, w) of pictures of `size` (height, width).

        With targets, a list of {"boxes": (n, 4) in pixels, "labels": (n,)}: the losses, summed.
        Without: a list of {"boxes", "scores", "labels"}.
        """
        named = self.pyramid(OrderedDict((str(i), m.float()) for i, m in enumerate(maps)))
        batch = len(maps[0])
        # Detectors ask pictures for nothing but their size.
        canvas = ImageList(maps[0].new_zeros(1).expand(batch, 3, *size), [size] * batch)
        losses, found = self._run(named, canvas, targets)
        return found if targets is None else torch.stack(list(losses.values())).sum()

    def _run(
        self, named: dict[str, Tensor], canvas: ImageList, targets: list[dict[str, Tensor]] | None
    ) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        d: Any = self.detector
        if self.kind == "faster_rcnn":
            if targets is not None:  # class 0 is its background
                targets = [{**t, "labels": t["labels"] + 1} for t in targets]
            proposals, losses = d.rpn(canvas, named, targets)
            found, more = d.roi_heads(named, proposals, canvas.image_sizes, targets)
            return losses | more, [{**f, "labels": f["labels"] - 1} for f in found]
        maps = list(named.values())
        outputs, anchors = d.head(maps), d.anchor_generator(canvas, maps)
        ratios = d.anchor_generator.num_anchors_per_location()
        counts = [m.shape[2] * m.shape[3] * n for m, n in zip(maps, ratios, strict=True)]
        if targets is not None:
            more = (counts,) if self.kind == "fcos" else ()
            return d.compute_loss(targets, outputs, anchors, *more), []
        levels = {name: list(output.split(counts, 1)) for name, output in outputs.items()}
        split = [list(a.split(counts)) for a in anchors]
        return {}, d.postprocess_detections(levels, split, canvas.image_sizes)


def _detector(
    kind: str, labels: int, width: int, convs: int, strides: Sequence[int], threshold: float
) -> nn.Module:
    backbone = nn.Identity()
    backbone.out_channels = width  # type: ignore[assignment]
    if kind == "fcos":
        anchors = AnchorGenerator(tuple((s,) for s in strides), ((1.0,),) * len(strides))
        return FCOS(
            backbone, labels, anchor_generator=anchors,
            head=FCOSHead(width, 1, labels, convs), score_thresh=threshold, nms_thresh=OVERLAP,
            detections_per_img=BEST,
        )  # fmt: skip
    if kind == "retinanet":
        sizes = tuple(tuple(round(4 * s * 2 ** (i / 3)) for i in range(3)) for s in strides)
        anchors = AnchorGenerator(sizes, (RATIOS,) * len(strides))
        count = anchors.num_anchors_per_location()[0]
        return RetinaNet(
            backbone, labels, anchor_generator=anchors,
            head=RetinaNetHead(width, count, labels, partial(nn.GroupNorm, 32)),
            score_thresh=threshold, detections_per_img=BEST,
        )  # fmt: skip
    anchors = AnchorGenerator(tuple((4 * s,) for s in strides), (RATIOS,) * len(strides))
    pool = MultiScaleRoIAlign([str(i) for i in range(len(strides) - 1)], 7, 2)
    return FasterRCNN(
        backbone, labels + 1, rpn_anchor_generator=anchors, box_roi_pool=pool,
        box_score_thresh=threshold, box_detections_per_img=BEST,
    )  # fmt: skip


def read(found: dict[str, Tensor], size: tuple[int, int]) -> Detections:
    """A frame's boxes, clipped to its picture's (height, width) without padding."""
    limit = torch.tensor((size[1], size[0]) * 2)
    boxes = torch.minimum(found["boxes"].cpu(), limit)
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
    parts = boxes[kept], found["scores"].cpu()[kept], found["labels"].cpu()[kept]
    return Detections(*(part.numpy() for part in parts))
