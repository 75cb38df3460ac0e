"""Every photograph becomes a picture a head accepts: any size, any orientation, any colour mode."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from narrows.images.preprocess import pad_to_stride, prepare, resize_and_crop

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


@settings(deadline=None)
@given(width=sides, height=sides)
def test_boxes_come_back_to_the_photographs_own_pixels(width: int, height: int) -> None:
    picture, view = prepare(Image.new("RGB", (width, height)), 32, 2.0)
    seen = np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32)
    ((left, top, right, bottom),) = view.boxes(seen)
    assert (right - left, bottom - top) == pytest.approx(view.crop)
    assert 0 <= left <= right <= width
    assert 0 <= top <= bottom <= height
    assert np.allclose(view.to_seen(view.boxes(seen)), seen, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (301, 7), (64, 33), (47, 90)])
def test_a_mask_covers_what_was_seen_and_nothing_else(size: tuple[int, int]) -> None:
    _, view = prepare(Image.new("RGB", size), 32, 2.0)
    mask = view.mask(np.full((4, 5), 7, np.uint8))
    assert mask.shape == size[::-1]
    assert (mask == 7).sum() == view.crop[0] * view.crop[1]
    assert set(np.unique(mask)) <= {7, 255}


def test_what_is_found_lies_where_it_is_seen_whatever_the_orientation() -> None:
    """A dark square, in a photograph stored on its side and in one cropped to the middle."""
    stored = Image.new("RGB", (200, 60), "white")
    stored.paste("black", (120, 20, 140, 40))
    plain = stored.copy()
    exif = stored.getexif()
    exif[0x0112] = 6  # turned right by a quarter: upright it is 60 x 200
    file = io.BytesIO()
    stored.save(file, "png", exif=exif)
    for turned, expected in ((False, (120, 20, 140, 40)), (True, (20, 120, 40, 140))):
        photograph = Image.open(file) if turned else plain
        picture, view = prepare(photograph, 30, 2.0)
        dark = picture[..., 0] < 128
        rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert view.boxes(np.array([box], np.float32))[0] == pytest.approx(expected, abs=2)
        assert view.photograph == ((60, 200) if turned else (200, 60))
        whole = view.mask(dark.astype(np.uint8))
        assert np.argwhere(whole == 1).min(0) == pytest.approx((expected[1], expected[0]), abs=2)
