"""Weights are found, verified and fetched whole, or refused in one line."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import http.server
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hloc_localizer.cli import weights as command
from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.weights.catalogue import CATALOGUE, Checkpoint, find_checkpoint
from hloc_localizer.weights.store import (
    DIRECTORY_VARIABLE,
    Condition,
    condition,
    fetch,
    require,
    weights_directory,
)

CONTENT = b'weights ' * 5000


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / 'weights'
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(folder))
    return folder


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a server that has one file, ``model.pt``."""
    folder = tmp_path / 'origin'
    folder.mkdir()
    (folder / 'model.pt').write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}/model.pt'
        server.shutdown()
        thread.join()


def checkpoint(url: str = 'https://example.org/model.pt', sha256: str | None = '') -> Checkpoint:
    known = hashlib.sha256(CONTENT).hexdigest() if sha256 == '' else sha256
    return Checkpoint(
        name='model', file_name='model.pt', model='a model', url=url, licence='MIT',
        sha256=(known,) if known else (),
    )  # fmt: skip


def test_the_real_weights_are_those_that_were_published(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(shared_data / 'weights'))
    for name in ('xfeat', 'xfeat-lighterglue', 'aliked-n16', 'aliked-n16rot'):
        assert condition(find_checkpoint(name)) is Condition.VERIFIED
    assert condition(find_checkpoint('disk')) is Condition.MISSING


def test_the_directory_is_in_the_cache_unless_the_variable_says_otherwise(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights_directory() == directory
    monkeypatch.delenv(DIRECTORY_VARIABLE)
    assert weights_directory() == Path.home() / '.cache' / 'hloc_localizer'


def test_a_fetched_file_is_whole_and_verified(directory: Path, origin: str) -> None:
    counts: list[int] = []
    path = fetch(checkpoint(origin), counts.append)
    assert path == directory / 'model.pt'
    assert path.read_bytes() == CONTENT
    assert counts[-1] == len(CONTENT)
    assert require(checkpoint(origin)) == path
    assert condition(checkpoint(origin, None)) is Condition.UNVERIFIED


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'sha256': ('0' * 64,)}, 'another checksum'),
        ({'max_bytes': 100}, 'more than 100 bytes'),
    ],
)
def test_a_download_that_is_not_the_model_leaves_nothing(
    directory: Path, origin: str, change: dict[str, object], message: str
) -> None:
    with pytest.raises(HlocLocalizerError, match=message):
        fetch(dataclasses.replace(checkpoint(origin), **change))  # type: ignore[arg-type]
    assert list(directory.iterdir()) == []


def test_a_failed_download_says_where_to_put_the_file(directory: Path, origin: str) -> None:
    with pytest.raises(HlocLocalizerError, match=r'failed \(File not found\)') as caught:
        fetch(checkpoint(origin.replace('model.pt', 'other.pt')))
    assert str(directory / 'model.pt') in str(caught.value)
    assert list(directory.iterdir()) == []


def test_a_wrong_checksum_is_refused_before_the_file_is_opened(directory: Path) -> None:
    directory.mkdir()
    (directory / 'model.pt').write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match='checksum is not that of a model; delete the file'):
        require(checkpoint())


def test_a_pickle_with_code_is_refused_and_the_code_does_not_run(
    directory: Path, tmp_path: Path
) -> None:
    torch = pytest.importorskip('torch')
    from hloc_localizer.weights.torch_file import read_tensors

    trace = tmp_path / 'ran'

    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trace),)

    for save in (lambda path: torch.save({'a': Code()}, path), _pickle_of(Code())):
        path = tmp_path / 'model.pt'
        save(path)
        with pytest.raises(InputError, match='refused, the file holds something other than'):
            read_tensors(path)
        assert not trace.exists()


def _pickle_of(value: object) -> object:
    return lambda path: path.write_bytes(pickle.dumps({'a': value}, protocol=2))


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04 broken'])
def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip('torch')
    from hloc_localizer.weights.torch_file import read_tensors

    path = tmp_path / 'model.pt'
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'weights .*model\.pt: '):
        read_tensors(path)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return command.run(parser.parse_args(['weights', *arguments]))


def test_list_names_every_file_with_licence_and_origin(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run('list') == 0
    text = capsys.readouterr().out
    for entry in CATALOGUE.values():
        assert entry.file_name in text
        assert entry.licence in text
        assert entry.url in text
    assert 'superpoint_v1.pth  [non-commercial]' in text


def test_check_says_what_is_wrong(
    directory: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory.mkdir()
    assert run('check') == 0
    (directory / 'xfeat.pt').write_bytes((shared_data / 'weights' / 'xfeat.pt').read_bytes())
    assert run('check') == 0
    (directory / 'aliked-n16.pth').write_bytes(b'something else')
    assert run('check') == 1
    assert run('check', 'disk') == 1
    text = capsys.readouterr().out
    assert 'no weights in' in text
    assert 'xfeat                  verified' in text
    assert 'aliked-n16             wrong checksum' in text
    assert 'disk                   missing' in text


def test_fetch_reports_what_it_did(
    directory: Path,
    origin: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(CATALOGUE, 'model', checkpoint(origin))
    assert run('fetch') == 2
    assert run('fetch', 'model') == 0
    assert run('fetch', 'model') == 0
    text = capsys.readouterr().out
    assert f'model: verified {directory / "model.pt"}' in text
    assert 'model: already there' in text
    with pytest.raises(InputError, match="unknown weights 'modle'"):
        run('fetch', 'modle')
