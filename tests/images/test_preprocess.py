"""Every photograph becomes a picture a head accepts: any size, any orientation, any colour mode."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from narrows.images.preprocess import pad_to_stride, resize_and_crop

sides = st.integers(1, 300) | st.sampled_from([1, 2, 31, 32, 33, 64, 65])


@settings(deadline=None)
@given(width=sides, height=sides, short_side=st.sampled_from([8, 32, 56]))
def test_the_short_side_is_exact_and_the_long_one_bounded(
    width: int, height: int, short_side: int
) -> None:
    picture = resize_and_crop(Image.new("RGB", (width, height)), short_side, 2.0)
    assert picture.dtype == np.uint8
    assert min(picture.shape[:2]) == short_side
    assert max(picture.shape[:2]) <= 2 * short_side


@settings(deadline=None)
@given(width=sides, height=sides)
def test_proportions_and_orientation_are_kept_within_a_pixel(width: int, height: int) -> None:
    picture = resize_and_crop(Image.new("RGB", (width, height)), 32, 2.0)
    wanted = min(2.0, max(width, height) / min(width, height)) * 32
    assert abs(max(picture.shape[:2]) - wanted) <= 1
    if abs(width - height) > min(width, height) / 16:
        assert (picture.shape[1] > picture.shape[0]) == (width > height)


@given(height=st.integers(1, 70), width=st.integers(1, 70), stride=st.sampled_from([1, 4, 8, 32]))
def test_padding_repeats_edges_up_to_the_stride(height: int, width: int, stride: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    padded = pad_to_stride(picture, stride)
    assert padded.shape[0] % stride == padded.shape[1] % stride == 0
    assert padded.shape[0] - height < stride
    assert padded.shape[1] - width < stride
    assert (padded[:height, :width] == picture).all()
    assert (padded[height:, :width] == picture[-1:]).all()
    assert (padded[:, width:] == padded[:, width - 1 : width]).all()


def test_a_picture_of_that_size_is_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 50, 3), np.uint8)
    assert (resize_and_crop(Image.fromarray(pixels), 32, 2.0) == pixels).all()


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16"]
)
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    picture = resize_and_crop(Image.new(mode, (40, 33)), 32, 2.0)
    assert picture.shape == (32, 39, 3)


def test_a_16_bit_picture_keeps_its_greys() -> None:
    ramp = np.linspace(0, 65535, 64 * 32).reshape(32, 64).astype(np.uint16)
    picture = resize_and_crop(Image.fromarray(ramp), 32, 2.0)
    assert 100 < picture.mean() < 155


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """Orientations 5 to 8 lie on their side: a landscape file is a portrait photograph."""
    image = Image.new("RGB", (64, 32))
    image.getexif()[0x0112] = orientation
    height, width = resize_and_crop(image, 32, 2.0).shape[:2]
    assert (width, height) == ((32, 64) if orientation >= 5 else (64, 32))


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (1, 1)])
def test_an_extreme_shape_costs_no_more_than_its_crop(size: tuple[int, int]) -> None:
    picture = resize_and_crop(Image.new("RGB", size), 32, 2.0)
    assert max(picture.shape[:2]) <= 64
