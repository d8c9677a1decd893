"""Focal lengths from EXIF: files written by another library, and damaged ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hloc_localizer.sources import open_source
from hloc_localizer.sources.exif import focal_length_px

pillow = pytest.importorskip('PIL.Image')  # comes with matplotlib
rational = pytest.importorskip('PIL.TiffImagePlugin').IFDRational
CAMERA_TAGS = {0x920A: rational(50, 10), 0xA20E: rational(4000, 1), 0xA210: 3, 0xA002: 4000}
"""5 mm; 4000 pixels a centimetre, so 2000 px in images 4000 pixels wide."""


def jpeg(tags: dict[int, Any], size: tuple[int, int] = (400, 300)) -> bytes:
    exif = pillow.Exif()
    exif[0x010F] = 'maker'
    exif.get_ifd(0x8769).update(tags)
    file = io.BytesIO()
    pillow.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(file, 'JPEG', exif=exif)
    return file.getvalue()


def test_focal_length_by_the_resolution_of_the_sensor() -> None:
    assert focal_length_px(jpeg(CAMERA_TAGS), 4000, 3000) == pytest.approx(2000.0)
    # The same picture made smaller afterwards.
    assert focal_length_px(jpeg(CAMERA_TAGS), 400, 300) == pytest.approx(200.0)


def test_focal_length_of_a_35_mm_camera() -> None:
    # 26 mm on a diagonal of 43.27 mm, as most telephones write.
    assert focal_length_px(jpeg({0xA405: 26}), 4000, 3000) == pytest.approx(3004.6, abs=0.1)


@pytest.mark.parametrize('tags', [{}, {0xA405: 0}, {0xA405: 20000}, {0x920A: 5.0}])
def test_nothing_is_made_of_too_little(tags: dict[int, Any]) -> None:
    assert focal_length_px(jpeg(tags), 400, 300) is None


def test_a_folder_takes_the_focal_length_of_its_first_image(tmp_path: Path) -> None:
    (tmp_path / '1.jpg').write_bytes(jpeg(CAMERA_TAGS))
    source = open_source(tmp_path)
    assert source.intrinsics == {'camera': 'exif'}
    assert source.calibration_problem == ''
    assert source.cameras['camera'].params == pytest.approx((200.0, 199.5, 149.5, 0.0))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_exif_gives_none_or_a_number(data: st.DataObject) -> None:
    raw = bytearray(jpeg(CAMERA_TAGS | {0xA405: 26})[:400])
    for _ in range(data.draw(st.integers(1, 20))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    focal = focal_length_px(cut, 4000, 3000)
    assert focal is None or 400.0 < focal < 200000.0


def test_the_facade_has_no_exif(shared_data: Path) -> None:
    data = (shared_data / 'data/facade/images/0000.jpg').read_bytes()
    assert focal_length_px(data, 1536, 1024) is None
