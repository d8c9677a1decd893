"""The report: one page that needs nothing else, with pictures that show what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from hloc_localizer.evaluation import EvaluatedFrame, Evaluation
from hloc_localizer.evaluation.report import write_report
from hloc_localizer.geometry.transforms import transform_from
from hloc_localizer.localization.result import Localization, Reason, Status

POINTS = np.random.default_rng(2).normal(size=(500, 3))
PICTURES = ['trajectory.png', 'errors.png', 'distribution.png', 'nees.png']


def frames(localized: int, refused: int) -> list[EvaluatedFrame]:
    random = np.random.default_rng(1)
    result = []
    for index in range(localized + refused):
        reference = transform_from(np.eye(3), [0.1 * index, 0.0, 0.0])
        pose = transform_from(np.eye(3), reference[:3, 3] + random.normal(size=3) * 0.01)
        found = Localization(Status.LOCALIZED, Reason.NONE, pose, np.eye(6) * 1e-4, 50, 60, ())
        lost = Localization(Status.REFUSED, Reason.FEW_INLIERS, None, None, 0, 0, ())
        chosen = found if index < localized else lost
        result.append(EvaluatedFrame(f'{index}', index * 10**8, chosen, reference, 10.0))
    return result


@pytest.mark.parametrize(('localized', 'refused'), [(20, 5), (0, 3), (1, 0)])
def test_a_report_is_written_whatever_was_localized(
    tmp_path: Path, localized: int, refused: int
) -> None:
    evaluation = Evaluation.of(frames(localized, refused), 1000)
    write_report(evaluation, POINTS, tmp_path / 'report', 'query <b>in</b> map')
    page = (tmp_path / 'report' / 'report.html').read_text(encoding='utf-8')
    assert '<h1>query &lt;b&gt;in&lt;/b&gt; map</h1>' in page
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 4
    assert not re.search(r'(src|href)="(?!data:)', page)
    numbers = json.loads((tmp_path / 'report' / 'report.json').read_text(encoding='utf-8'))
    assert numbers['localized'] == localized
    for name in PICTURES:
        picture = cv2.imread(str(tmp_path / 'report' / name))
        assert picture.shape[0] > 300
        assert picture.std() > 5.0


def test_a_localized_frame_is_seen_in_the_picture_and_a_false_fix_in_red(tmp_path: Path) -> None:
    good = frames(20, 0)
    write_report(Evaluation.of(good, 0), POINTS, tmp_path / 'good', 'good')
    far = transform_from(np.eye(3), good[5].reference[:3, 3] + [0.0, 0.8, 0.0])
    wrong = Localization(Status.LOCALIZED, Reason.NONE, far, np.eye(6) * 1e-4, 50, 60, ())
    bad = [*good, EvaluatedFrame('wrong', 5 * 10**8 + 1, wrong, good[5].reference, 10.0)]
    write_report(Evaluation.of(bad, 0), POINTS, tmp_path / 'bad', 'bad')

    def pixels_of(folder: str, red: int, green: int, blue: int) -> int:
        picture = cv2.imread(str(tmp_path / folder / 'trajectory.png')).astype(int)
        return int(np.count_nonzero(np.abs(picture - [blue, green, red]).max(axis=2) < 12))

    assert pixels_of('good', 0x1F, 0x77, 0xB4) > 100
    assert pixels_of('good', 0xD6, 0x27, 0x28) == 0
    assert pixels_of('bad', 0xD6, 0x27, 0x28) > 20
