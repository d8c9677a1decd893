"""Damaged JPEG data is refused, whole data never is, whatever its encoder did."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.sources import Frame
from hloc_localizer.sources.image_codec import decode_compressed
from hloc_localizer.sources.jpeg_check import damage

QUALITY, SAMPLING = cv2.IMWRITE_JPEG_QUALITY, getattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR', None)
needs_sampling = pytest.mark.skipif(SAMPLING is None, reason='OpenCV before 4.7')


def _encoded(image: np.ndarray, *options: int) -> np.ndarray:
    stored = image if image.ndim == 2 else image[..., ::-1]
    return np.asarray(cv2.imencode('.jpg', stored, list(options))[1]).ravel()


def _begin(data: np.ndarray) -> int:
    """Return where the entropy-coded data begins."""
    at = data.tobytes().index(b'\xff\xda')
    return at + 2 + int(data[at + 2]) * 256 + int(data[at + 3])


def _said(data: np.ndarray) -> str:
    return damage(data, np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize(
    'options',
    [
        (QUALITY, 10), (QUALITY, 50), (QUALITY, 90), (QUALITY, 100),
        (QUALITY, 90, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        (QUALITY, 90, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (QUALITY, 90, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        (QUALITY, 90, cv2.IMWRITE_JPEG_RST_INTERVAL, 34),
    ],
)  # fmt: skip
def test_whole_images_pass(lounge_frames: list[Frame], options: tuple[int, ...]) -> None:
    for frame in lounge_frames[::3]:
        dark = np.asarray(np.clip(frame.image.astype(int) - 90, 0, 255), np.uint8)
        bright = np.asarray(np.clip(frame.image.astype(int) * 3, 0, 255), np.uint8)
        odd = np.ascontiguousarray(frame.image[:-3, :-5])
        for image in (frame.image, dark, bright, odd, _grey(frame.image), odd[:9, :9]):
            assert _said(_encoded(image, *options)) == ''


@needs_sampling
@pytest.mark.parametrize('factor', ['411', '420', '422', '440', '444'])
def test_whole_images_pass_whatever_their_subsampling(
    lounge_frames: list[Frame], factor: str
) -> None:
    assert SAMPLING is not None
    sampling = getattr(cv2, f'IMWRITE_JPEG_SAMPLING_FACTOR_{factor}')
    for frame in lounge_frames[::3]:
        for quality in (40, 98):
            data = _encoded(frame.image, QUALITY, quality, SAMPLING, sampling)
            assert _said(data) == ''


@pytest.mark.parametrize('grey', [False, True])
def test_data_that_lost_a_piece_is_refused(lounge_frames: list[Frame], grey: bool) -> None:
    random = np.random.default_rng(5)
    refused = tried = 0
    for frame in lounge_frames:
        data = _encoded(_grey(frame.image) if grey else frame.image, QUALITY, 90)
        for lost in (20, 500, 4000):
            at = int(random.integers(_begin(data), len(data) - 6000))
            tried += 1
            refused += _said(np.delete(data, np.s_[at : at + lost])) != ''
    assert tried >= 40
    assert refused >= 0.85 * tried


def test_data_with_changed_bytes_is_refused(lounge_frames: list[Frame]) -> None:
    random = np.random.default_rng(6)
    refused = shifted = 0
    for frame in lounge_frames * 2:
        data = _encoded(frame.image, QUALITY, 90)
        whole = _grey(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))
        for at in random.integers(_begin(data), len(data) - 6000, 10):
            data[at] = random.integers(256)
        said = _said(data)
        seen = _grey(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))
        # Other blocks than before, not only brighter or darker ones.
        edges = [cv2.Laplacian(image, cv2.CV_32F) for image in (whole, seen)]
        if (cv2.blur(np.abs(edges[0] - edges[1]), (16, 16)) > 8.0).mean() > 0.2:
            shifted += 1
            refused += said != ''
    assert shifted >= 15
    assert refused >= 0.5 * shifted  # the floor at the bottom looks alike wherever it is cut


def test_a_marker_within_the_data_is_refused(lounge_frames: list[Frame]) -> None:
    for marker, said in ((0xE0, 'a marker is in the middle'), (0xD3, 'restart markers in its')):
        data = _encoded(lounge_frames[0].image, QUALITY, 90)
        data[30000:30002] = 0xFF, marker
        assert said in _said(data)
        with pytest.raises(InputError, match='the compressed data is damaged: '):
            decode_compressed(data, 'rgb8; jpeg compressed bgr8')


def test_a_lost_restart_is_refused(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90, cv2.IMWRITE_JPEG_RST_INTERVAL, 34)
    at = data.tobytes().index(b'\xff\xd3')
    assert 'restart markers are missing' in _said(np.delete(data, [at, at + 1]))


def test_filling_before_the_end_and_anything_after_it_are_no_damage(
    lounge_frames: list[Frame],
) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90)
    filled = np.concatenate([data[:-2], np.full(3, 0xFF, np.uint8), data[-2:]])
    assert _said(filled) == ''
    assert _said(np.concatenate([data, np.arange(200, dtype=np.uint8)])) == ''


def test_headers_that_are_cut_off_are_left_to_the_decoder(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90)
    for length in range(2, _begin(data), 7):
        assert damage(data[:length], lounge_frames[0].image) == ''
