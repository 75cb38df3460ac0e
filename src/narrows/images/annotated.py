"""Sets of photographs with several kinds of annotation.

A folder or tar with a `classes.json` at its root and, for every part (`train`, `val`), a list in
`PART/annotations.json`. Ours:

    classes.json       {"classification": [names], "detection": [names], "segmentation": [names]}
    annotations.json   [{"file", "label": index, "boxes": [[class, x0, y0, x1, y1], ...],
                         "mask": file of an 8-bit PNG, class by pixel, 255 where unknown}, ...]

any of the keys but `file` absent. Boxes are in pixels of the picture as stored, upright. Published
sets in other forms are read by narrows.images.layouts.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.errors import SourceError
from narrows.images.annotations import Annotation
from narrows.images.files import Files
from narrows.images.labelled import LabelledImages
from narrows.images.layouts import read_layout


class AnnotatedImages(Files):
    """An index over such a set; pictures are read when asked for."""

    def __init__(self, root: Path):
        """Raises SourceError when `root` is no such set."""
        super().__init__(root)
        layout = read_layout(self)
        self.labels, self.annotations = layout.labels, layout.annotations
        self._values = layout.values
        if not self.annotations:
            raise SourceError(f"{root}: annotations of no photograph")

    def parts(self) -> set[str]:
        return {a.part for a in self.annotations}

    def of_part(self, part: str) -> tuple[Annotation, ...]:
        """The photographs of one part. Raises SourceError for none."""
        chosen = tuple(a for a in self.annotations if a.part == part)
        if not chosen:
            have = ", ".join(sorted(self.parts()))
            raise SourceError(f"{self.root}: no part {part!r}; it has: {have}")
        return chosen

    def __iter__(self) -> Iterator[Annotation]:
        return iter(self.annotations)

    def mask(self, annotation: Annotation) -> NDArray[np.uint8]:
        """uint8 (height, width), classes by pixel, or UNKNOWN. Raises SourceError."""
        assert annotation.mask is not None
        stored = np.asarray(self.image(annotation.mask))
        if stored.ndim != 2 or stored.dtype != np.uint8:
            raise SourceError(
                f"{annotation.mask}: expected 8 bits a pixel, got {stored.dtype} {stored.shape}"
            )
        return stored if self._values is None else self._values[stored]


def photographs(root: Path, part: str) -> tuple[Files, tuple[str, ...]]:
    """Any set, and the names of its photographs of a part, or of all where it has no such part.

    Raises:
        SourceError: neither a set nor class folders.
    """
    images = AnnotatedImages(root) if is_annotated(root) else LabelledImages(root)
    known = images.parts()
    return images, tuple(e.name for e in images if e.part == part or part not in known)


def is_annotated(root: Path) -> bool:
    """Whether a folder or tar holds such a set. Raises SourceError when it is neither."""
    return "classes.json" in (names := set(Files(root).names)) and any(
        name.endswith(("annotations.json", "boxes_from_masks.json")) for name in names
    )
