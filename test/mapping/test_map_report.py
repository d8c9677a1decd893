"""The report of a map: one page without anything from outside, and honest about where it fails."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from synthetic_map import make_manifest, make_runtime

from hloc_localizer.localization.result import Reason
from hloc_localizer.mapping.map_report import ReportContent, Trial, localize_held_out, report_page
from hloc_localizer.mapping.map_report.figures import observation_errors
from hloc_localizer.mapping.map_report.self_localization import FOLDS, Verdict, folds
from hloc_localizer.mapping.map_report.svg import ticks
from hloc_localizer.maps import Map
from hloc_localizer.maps.hloc_files import read_all_features
from hloc_localizer.maps.subset import without_images

NASTY = '<script>alert("x")</script>&\'"'


class Page(HTMLParser):
    """Collects the elements and what they refer to; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ('meta', 'img', '!doctype'):
            self._open.append(tag)
        self.references += [v or '' for k, v in attrs if k in ('src', 'href', 'xlink:href')]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [v or '' for k, v in attrs if k in ('src', 'href', 'xlink:href')]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def content(**changes: object) -> ReportContent:
    runtime = make_runtime(images=12)
    manifest = make_manifest(runtime)
    trials = [Trial(i, Reason.NONE, 0.02, 0.3) for i in range(0, 10, 2)]
    trials += [
        Trial(1, Reason.FEW_MATCHES, np.nan, np.nan),
        Trial(3, Reason.NONE, 0.3, 1.0),
        Trial(5, Reason.NONE, 4.0, 90.0),
    ]
    whole = ReportContent(
        title='office',
        manifest=manifest,
        runtime=runtime,
        trials=trials,
        frames=30,
        selected=12,
        recorded=runtime.map_from_camera,
        stamps_ns=np.arange(12) * 500_000_000,
        thumbnails=[b'\xff\xd8jpeg'] * 12,
        stage_s={'extract': 2.0, 'match': 3.0},
    )
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def test_the_page_is_whole_and_asks_nothing_of_anyone() -> None:
    text = report_page(content())
    page = Page(text)
    assert {'svg', 'img', 'table', 'style'} <= set(page.tags)
    assert not {'script', 'link', 'iframe', 'object'} & set(page.tags)
    assert all(one.startswith(('data:image/', '#')) for one in page.references), page.references
    assert not re.search(r'https?://|url\(|@import', text)
    assert "default-src 'none'" in text
    assert 'nan' not in re.sub(r'base64,[^"]*', '', text).lower().replace('nano', '')


def test_texts_from_outside_are_escaped() -> None:
    manifest = make_manifest(make_runtime(images=12))
    provenance = dataclasses.replace(manifest.provenance, source={NASTY: NASTY, 'path': NASTY})
    nasty = dataclasses.replace(
        manifest,
        provenance=provenance,
        map_frame=NASTY,
        cameras={NASTY: manifest.cameras['camera']},
    )
    text = report_page(content(title=NASTY, manifest=nasty, stage_s={NASTY: 1.0}))
    assert '<script>' not in text
    assert text.count('&lt;script&gt;') >= 6
    Page(text)


def test_the_page_tells_what_came_of_the_held_out_images() -> None:
    text = report_page(content())
    assert '<b>75 %</b> of 8 map images are found in the rest of the map' in text
    assert '<b>1</b> came out at a wrong place' in text
    assert 'because: few matches' in text
    for kind, count in (('good', 5), ('fair', 1), ('bad', 1), ('wrong', 1)):
        assert text.count(f'class="field {kind}"') == count
    assert [trial.verdict for trial in content().trials[-3:]] == [
        Verdict.REFUSED, Verdict.ROUGH, Verdict.WRONG,
    ]  # fmt: skip


def test_a_map_without_scale_and_gravity_says_so() -> None:
    manifest = dataclasses.replace(content().manifest, metric=False, gravity_aligned=False)
    text = report_page(content(manifest=manifest, trials=(), recorded=None, stamps_ns=None,
                               thumbnails=(), stage_s={}))  # fmt: skip
    assert 'scale unknown: not in metres' in text
    assert 'x [units]' in text
    assert ' [m]' not in text
    assert 'Which way is up is not known' in text
    assert 'Where a robot would fail' not in text
    Page(text)


def test_ticks_are_round_and_cover_the_range() -> None:
    assert [text for _, text in ticks(-0.9, 2.1, 4)] == ['0', '1', '2']
    assert [text for _, text in ticks(0.0, 0.03, 3)] == ['0.00', '0.01', '0.02', '0.03']
    assert len(ticks(0.0, 1e6, 5)) <= 6


def test_images_of_one_second_are_held_out_together() -> None:
    stamps = np.array([0.0, 0.2, 0.9, 1.1, 7.0, 7.5, 8.0, 20.0, 21.0]) * 1e9
    assert folds(stamps.astype(np.int64)).tolist() == [0, 0, 0, 1, 2, 2, 3, 0, 1]


def test_a_map_without_some_images_is_what_the_others_see() -> None:
    runtime = make_runtime(images=5, points=40)
    gone = np.array([False, True, False, False, True])
    rest = without_images(runtime, gone)
    assert rest.image_names == tuple(runtime.image_names[i] for i in (0, 2, 3))
    # Images 0, 2 and 4 share the even points; image 3 alone is left of those that see the odd ones.
    assert len(rest.points) == 20
    assert np.diff(rest.observation_offsets).tolist() == [20, 20, 0]
    np.testing.assert_array_equal(rest.points, runtime.points[::2])
    described = rest.descriptor_point[rest.observation_descriptor]
    np.testing.assert_array_equal(described, rest.observation_point)
    np.testing.assert_array_equal(rest.descriptors, runtime.descriptors[::2])
    assert rest.covisible_image.tolist() == [1, 0]
    assert rest.covisible_offsets.tolist() == [0, 1, 2, 2]
    nothing = without_images(runtime, gone, without_descriptors=np.ones(40, np.bool_))
    assert len(nothing.points) == len(nothing.descriptors) == 0


def test_errors_of_observations_are_those_of_projection() -> None:
    runtime = make_runtime(images=3)
    errors = observation_errors(runtime)
    assert errors.shape == runtime.observation_point.shape
    pose, camera = runtime.map_from_camera[1], runtime.cameras[0]
    number = int(runtime.observation_offsets[1]) + 4
    point = np.linalg.inv(pose) @ [*runtime.points[runtime.observation_point[number]], 1.0]
    expected = np.linalg.norm(
        camera.project(point[None, :3])[0] - runtime.observation_keypoint[number]
    )
    assert errors[number] == pytest.approx(expected, nan_ok=True)


def test_held_out_images_of_the_lounge_are_found_where_they_were_taken(lounge_map: Path) -> None:
    whole = Map.load(lounge_map)
    by_name = read_all_features(lounge_map / 'features.h5')
    features = [by_name[name] for name in whole.runtime.image_names]
    stamps = np.array([int(Path(name).stem) for name in whole.runtime.image_names])
    steps: list[int] = []
    trials = localize_held_out(whole, features, stamps, count=20, advance=steps.append)
    assert len(trials) == sum(steps) == 20
    assert len({folds(stamps)[trial.image] for trial in trials}) == FOLDS
    assert sum(trial.verdict is Verdict.PRECISE for trial in trials) >= 18
    assert not any(trial.verdict is Verdict.WRONG for trial in trials)
    errors = [trial.translation_m for trial in trials if trial.found]
    # The very descriptors of an image are not left in the map: it is not found to no error at all.
    assert 0.001 < np.median(errors) < 0.02
    # Another image's features do not belong where the map has this image.
    mixed = [features[(index + 60) % len(features)] for index in range(len(features))]
    swapped = localize_held_out(whole, mixed, stamps, count=12, advance=steps.append)
    assert sum(trial.found for trial in swapped) <= 2


def test_a_built_map_holds_its_report(lounge_map: Path) -> None:
    assert 'report/index.html' in Map.load(lounge_map).manifest.files
    text = (lounge_map / 'report' / 'index.html').read_text(encoding='utf-8')
    Page(text)
    assert len(text) < 2_000_000
    share = re.search(r'<b>(\d+) %</b> of 64 map images are found', text)
    assert share
    assert int(share[1]) >= 90
    assert 'registered: ' in text
    assert 'The rotations are held as recorded' in text
    assert re.search(r'report \d', text)
