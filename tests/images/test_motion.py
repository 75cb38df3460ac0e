import numpy as np
import pytest

from narrows.images.motion import Motion, sequence

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
STILL = Motion(noise=0.0)


def frames(motion: Motion, count: int = 5, seed: int = 0) -> list[np.ndarray]:
    return list(sequence(PICTURE, motion, count, np.random.default_rng(seed)))


def test_a_camera_that_stands_without_noise_sees_one_picture():
    seen = frames(STILL)
    assert all(f.shape == PICTURE.shape and f.dtype == np.uint8 for f in seen)
    assert all(np.array_equal(f, seen[0]) for f in seen)


def test_noise_has_its_deviation_and_is_new_in_every_frame():
    grey = np.full((64, 64, 3), 128, np.uint8)
    seen = list(sequence(grey, Motion(noise=3.0), 4, np.random.default_rng(0)))
    assert np.std(np.stack(seen).astype(float) - 128) == pytest.approx(3.0, rel=0.1)
    assert not np.array_equal(seen[0], seen[1])


def test_a_pan_moves_what_is_seen_by_its_pixels():
    rows = frames(Motion(across=2.0, noise=0.0), 3)
    shifted = rows[0][:, 2:], rows[1][:, :-2]
    assert np.abs(shifted[0].astype(int) - shifted[1]).max() <= 1


def test_a_window_stops_at_the_pictures_edge():
    seen = frames(Motion(across=50.0, noise=0.0), 6)
    assert np.array_equal(seen[-1], seen[-2])
    assert np.array_equal(seen[0], seen[1])


def test_drawn_cameras_stand_and_move():
    rng = np.random.default_rng(0)
    drawn = [Motion.drawn(rng, fastest=8.0) for _ in range(300)]
    standing = [m for m in drawn if m.across == m.down == 0]
    assert 60 < len(standing) < 140
    assert max(abs(m.across) for m in drawn) <= 8
