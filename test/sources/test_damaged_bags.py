"""Recordings that are absent, empty, cut off or damaged: one line names the remedy."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from bags import message_of, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st

from hloc_localizer.errors import InputError
from hloc_localizer.sources import open_source
from hloc_localizer.sources.bag_writer import BagWriter


def test_absent_path(tmp_path: Path) -> None:
    assert message_of(tmp_path / 'absent.bag').endswith(
        'absent.bag: does not exist; give a bag, a video or a folder of images'
    )


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    file = tmp_path / 'notes.txt'
    file.write_text('hello')
    assert 'notes.txt: not a known kind of recording' in message_of(file)


def test_empty_folder(tmp_path: Path) -> None:
    assert 'neither a bag (no metadata.yaml, .mcap or .db3) nor a folder' in message_of(tmp_path)


@pytest.mark.parametrize('name', ['a.bag', 'a.mcap', 'a.db3'])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert f'{name}: the file is empty; record the bag again' in message_of(tmp_path / name)


@pytest.mark.parametrize('name', ['a.bag', 'a.mcap', 'a.db3'])
def test_file_that_is_no_bag(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(5000))
    assert f'{name}: the bag is damaged' in message_of(tmp_path / name)


def test_bag_without_messages(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag'):
        pass
    assert 'the bag holds no messages' in message_of(tmp_path / 'bag')


@pytest.mark.parametrize(('share', 'at_least'), [(0.3, 15), (0.9, 45), (0.99999, 70)])
def test_cut_mcap_is_read_up_to_its_last_whole_chunk(
    shared_data: Path, tmp_path: Path, share: float, at_least: int
) -> None:
    whole = (shared_data / 'data/lounge/query/query.mcap').read_bytes()
    file = tmp_path / 'cut.mcap'
    file.write_bytes(whole[: int(len(whole) * share)])
    source = open_source(file)
    frames = list(source.frames())
    expected = list(open_source(shared_data / 'data/lounge/query').frames())[: len(frames)]
    assert at_least <= len(frames) == len(source)
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in expected]
    np.testing.assert_array_equal(frames[-1].image, expected[-1].image)
    assert source.notes[-1] == f'{file} is cut off: read up to its last whole record'


def test_cut_mcap_in_the_folder_of_its_recorder(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    file = path / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:-100])
    assert len(list(open_source(path).frames())) == 10


@pytest.mark.parametrize('size', [8, 9, 20, 60, 5000])
def test_mcap_cut_before_its_first_message(shared_data: Path, tmp_path: Path, size: int) -> None:
    whole = (shared_data / 'data/lounge/query/query.mcap').read_bytes()
    file = tmp_path / 'cut.mcap'
    file.write_bytes(whole[:size])
    message = message_of(file)
    assert 'holds no messages before it is cut off' in message or 'is damaged' in message


@pytest.mark.parametrize('share', [0.001, 0.5, 0.999])
def test_truncated_ros_1_bag(shared_data: Path, tmp_path: Path, share: float) -> None:
    whole = (shared_data / 'data/bags/t265_ros1.bag').read_bytes()
    file = tmp_path / 'cut.bag'
    file.write_bytes(whole[: int(len(whole) * share)])
    message = message_of(file, image_topic='/camera/fisheye1/image_raw')
    assert 'cut.bag: the bag is damaged or' in message
    assert 'rosbag reindex' in message


@pytest.mark.parametrize('share', [0.3, 0.9])
def test_truncated_sqlite(tmp_path: Path, share: float) -> None:
    file = write_bag(tmp_path / 'bag', storage='sqlite3') / 'bag.db3'
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    assert 'the bag is damaged or' in message_of(tmp_path / 'bag')


@pytest.fixture(scope='module')
def small_bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp('bags')
    mcap = write_bag(folder / 'plain') / 'plain.mcap'
    chunks = write_bag(folder / 'chunks', compression='storage') / 'chunks.mcap'
    sqlite = write_bag(folder / 'lite', storage='sqlite3') / 'lite.db3'
    return [mcap, chunks, sqlite]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_bytes_never_raise_anything_else(
    small_bags: list[Path], data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(small_bags))
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    changed = whole.with_name(f'changed{whole.suffix}')
    changed.write_bytes(raw[: data.draw(st.integers(len(raw) // 2, len(raw)))])
    with contextlib.suppress(InputError):
        assert len(list(open_source(changed).frames())) <= 10


def test_folder_whose_storage_file_is_gone(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    (path / 'bag.mcap').unlink()
    assert 'bag.mcap' in message_of(path)


@pytest.mark.parametrize('content', ['', '{', 'rosbag2_bagfile_information: 3', '[1, 2]'])
def test_broken_metadata(tmp_path: Path, content: str) -> None:
    path = write_bag(tmp_path / 'bag')
    (path / 'metadata.yaml').write_text(content)
    assert f'{path}: the bag is damaged' in message_of(path)
