"""Damaged JPEG data is refused; what harmless oddities of cameras and files come with passes."""

from __future__ import annotations

import re
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.sources import Frame
from hloc_localizer.sources.image_codec import decode_compressed

QUALITY, SAMPLING = cv2.IMWRITE_JPEG_QUALITY, getattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR', None)
RESTARTS = cv2.IMWRITE_JPEG_RST_INTERVAL
needs_sampling = pytest.mark.skipif(SAMPLING is None, reason='OpenCV before 4.7')


def _encoded(image: np.ndarray, *options: int) -> np.ndarray:
    stored = image if image.ndim == 2 else image[..., ::-1]
    return np.asarray(cv2.imencode('.jpg', stored, list(options))[1]).ravel()


def _begin(data: np.ndarray) -> int:
    """Return where the entropy-coded data begins."""
    at = data.tobytes().index(b'\xff\xda')
    return at + 2 + int(data[at + 2]) * 256 + int(data[at + 3])


def _said(data: np.ndarray | bytes) -> str:
    """Return why it is refused; empty when it is not."""
    try:
        decode_compressed(data, 'jpeg')
    except InputError as error:
        return str(error)
    return ''


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _assert_pixels_of_opencv(data: np.ndarray) -> None:
    expected = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    expected = expected if expected.ndim == 2 else expected[..., ::-1]
    np.testing.assert_array_equal(decode_compressed(data, 'jpeg'), expected)


@pytest.mark.parametrize(
    'options',
    [
        (QUALITY, 10), (QUALITY, 50), (QUALITY, 90), (QUALITY, 100),
        (QUALITY, 90, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        (QUALITY, 90, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (QUALITY, 90, RESTARTS, 1),
        (QUALITY, 90, RESTARTS, 34),
    ],
)  # fmt: skip
def test_whole_images_pass(lounge_frames: list[Frame], options: tuple[int, ...]) -> None:
    for frame in lounge_frames[::3]:
        odd = np.ascontiguousarray(frame.image[:-3, :-5])
        for image in (frame.image, odd, _grey(frame.image), odd[:9, :9]):
            _assert_pixels_of_opencv(_encoded(image, *options))


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
            _assert_pixels_of_opencv(data)


@pytest.mark.parametrize(
    'options',
    [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (RESTARTS, 34)],
    ids=['plain', 'progressive', 'restarts'],
)
@pytest.mark.parametrize('grey', [False, True])
def test_data_that_lost_a_piece_is_refused(
    lounge_frames: list[Frame], options: tuple[int, ...], grey: bool
) -> None:
    random = np.random.default_rng(5)
    refused = tried = 0
    for frame in lounge_frames:
        image = _grey(frame.image) if grey else frame.image
        data = _encoded(image, QUALITY, 90, *options)
        for lost in (500, 4000):  # of fewer, most shift nothing
            at = int(random.integers(_begin(data), len(data) - 6000))
            tried += 1
            refused += _said(np.delete(data, np.s_[at : at + lost])) != ''
    assert tried >= 25
    assert refused >= 0.9 * tried


def test_data_with_changed_bytes_is_refused(lounge_frames: list[Frame]) -> None:
    random = np.random.default_rng(6)
    refused = shifted = 0
    for frame in lounge_frames * 2:
        data = _encoded(frame.image, QUALITY, 90)
        whole = _grey(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))
        for at in random.integers(_begin(data), len(data) - 6000, 10):
            data[at] = random.integers(256)
        seen = _grey(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))
        # Other blocks than before, not only brighter or darker ones.
        edges = [cv2.Laplacian(image, cv2.CV_32F) for image in (whole, seen)]
        if (cv2.blur(np.abs(edges[0] - edges[1]), (16, 16)) > 8.0).mean() > 0.2:
            shifted += 1
            refused += _said(data) != ''
    assert shifted >= 15
    assert refused >= 0.8 * shifted  # the others lost as many blocks as they won


def test_a_marker_within_the_data_is_refused(lounge_frames: list[Frame]) -> None:
    for marker in (0xE0, 0xD3, 0x3C):
        data = _encoded(lounge_frames[0].image, QUALITY, 90)
        data[30000:30002] = 0xFF, marker
        assert 'the compressed data is damaged: ' in _said(data)


def test_cut_data_is_refused_whatever_follows(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90).tobytes()
    for cut in (data[:-60], data[:20000]):
        for end in (b'', bytes(5000), b'\xff\xd9', b'\xff\xd9' + bytes(9), bytes(100_000)):
            assert 'the compressed data is damaged: ' in _said(cut + end)


def test_a_lost_restart_is_refused(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90, RESTARTS, 10).tobytes()
    for whole in (data, _filled(data)):
        assert _said(whole) == ''
        at = whole.index(b'\xff\xd3', _begin(np.frombuffer(whole, np.uint8)))
        assert 'extraneous bytes before marker' in _said(whole[:at] + whole[at + 2 :])


def _filled(data: bytes) -> bytes:
    """Add up to ten bytes to the data before each restart, as some webcams do."""
    random = np.random.default_rng(8)
    begin = _begin(np.frombuffer(data, np.uint8))

    def more(found: re.Match[bytes]) -> bytes:
        return bytes(random.integers(0, 255, random.integers(11)).tolist()) + found[0]

    return data[:begin] + re.sub(rb'\xff[\xd0-\xd7]', more, data[begin:])


def test_filling_of_cameras_changes_no_pixel(
    lounge_frames: list[Frame], capfd: pytest.CaptureFixture[str]
) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90).tobytes()
    whole, end = data[:-2], data[-2:]
    expected = decode_compressed(data, 'jpeg')
    for filling in (b'\xff' * 3, bytes(1), bytes(17), bytes(5000)):
        np.testing.assert_array_equal(decode_compressed(whole + filling + end, 'jpeg'), expected)
    for after in (bytes(200), bytes(range(256)), bytes(9000), data):
        np.testing.assert_array_equal(decode_compressed(data + after, 'jpeg'), expected)
    np.testing.assert_array_equal(decode_compressed(whole, 'jpeg'), expected)  # without its end
    data = _encoded(lounge_frames[0].image, QUALITY, 90, RESTARTS, 10).tobytes()
    expected = decode_compressed(data, 'jpeg')
    np.testing.assert_array_equal(decode_compressed(_filled(data), 'jpeg'), expected)
    assert capfd.readouterr().err == ''  # libjpeg would say it for every image


def test_the_tables_that_webcams_leave_out_are_known(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90).tobytes()
    motion = data
    while b'\xff\xc4' in motion[: _begin(np.frombuffer(motion, np.uint8))]:
        at = motion.index(b'\xff\xc4')
        motion = motion[:at] + motion[at + 2 + int.from_bytes(motion[at + 2 : at + 4], 'big') :]
    assert len(motion) < len(data) - 400
    np.testing.assert_array_equal(
        decode_compressed(motion, 'jpeg'), decode_compressed(data, 'jpeg')
    )


def test_an_odd_header_of_a_scan_is_no_damage(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90)
    odd = data.copy()
    odd[_begin(data) - 2] = 0  # the last coefficient of the scan: 63 where it is sequential
    np.testing.assert_array_equal(decode_compressed(odd, 'jpeg'), decode_compressed(data, 'jpeg'))


def _odd_scan(data: bytes) -> bytes:
    """Put the last coefficient of the scan at 0: it is 63 where a JPEG is sequential."""
    at = _begin(np.frombuffer(data, np.uint8)) - 2
    return data[:at] + b'\0' + data[at + 1 :]


def _filled_once(data: bytes) -> bytes:
    at = data.index(b'\xff\xd1', _begin(np.frombuffer(data, np.uint8)))
    return data[:at] + bytes(3) + data[at:]


@pytest.mark.parametrize('grey', [False, True])
@pytest.mark.parametrize('interval', [1, 10, 34, 35])
def test_oddities_together_change_no_pixel(
    lounge_frames: list[Frame], grey: bool, interval: int
) -> None:
    image = _grey(lounge_frames[0].image) if grey else lounge_frames[0].image
    data = _encoded(image, QUALITY, 90, RESTARTS, interval).tobytes()
    odd = _odd_scan(_filled(data))
    odd = odd[:-2] + bytes(40) + odd[-2:]
    np.testing.assert_array_equal(decode_compressed(odd, 'jpeg'), decode_compressed(data, 'jpeg'))


@pytest.mark.parametrize('odd', [_odd_scan, _filled_once, _filled])
def test_damage_is_noticed_behind_an_oddity(
    lounge_frames: list[Frame], odd: Callable[[bytes], bytes]
) -> None:
    random = np.random.default_rng(9)
    options = () if odd is _odd_scan else (RESTARTS, 34)
    alone = behind = 0
    for frame in lounge_frames:
        data = _encoded(frame.image, QUALITY, 90, *options).tobytes()
        at = int(random.integers(len(data) // 4, len(data) - 6000))
        lost = data[:at] + data[at + 4000 :]
        assert 'the compressed data is damaged: ' in _said(odd(lost))
        for _ in range(12):
            at = int(random.integers(len(data) // 4, len(data) - 6000))
            changed = data[:at] + bytes([int(random.integers(255))]) + data[at + 1 :]
            alone += _said(changed) != ''
            behind += _said(odd(changed)) != ''
    assert alone >= 10
    assert behind >= 0.9 * alone


def test_an_unusual_subsampling_is_left_to_opencv(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90)
    data[data.tobytes().index(b'\xff\xc0') + 11] = 0x42  # of the brightness; simplejpeg refuses it
    _assert_pixels_of_opencv(data)


def test_two_declared_sizes_are_refused(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90).tobytes()
    at = data.index(b'\xff\xc0')
    # A marker without content hides what follows from who takes it for the beginning of a segment.
    hiding = data[:at] + b'\xff\x01' + data[at:]
    small = b'\xff\xc0\x00\x11\x08\x00\x08\x00\x08' + data[at + 9 : at + 19]
    after = at + 2 + 0xFFC0
    assert 'it declares two sizes' in _said(hiding.ljust(after, b'\0') + small)


def test_headers_that_are_cut_off_are_refused(lounge_frames: list[Frame]) -> None:
    data = _encoded(lounge_frames[0].image, QUALITY, 90)
    for length in range(2, _begin(data), 7):
        assert _said(data[:length]) != ''
