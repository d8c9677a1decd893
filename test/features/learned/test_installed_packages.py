"""
The packages lightglue and hloc, where a user has installed them and a map asks for them.

They are in no registry. Where they are installed they are compared with ours; elsewhere small
packages of the same interface show that they are called as theirs are.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.weights.store import DIRECTORY_VARIABLE

torch = pytest.importorskip('torch')
pytest.importorskip('kornia')

from hloc_localizer.features.learned import installed
from hloc_localizer.features.learned.lightglue import LightGlueShape, load_lightglue
from hloc_localizer.features.learned.options import AlikedOptions

PLAIN = {'max_keypoints': 200, 'matcher': 'nearest_neighbour'}
CPU = torch.device('cpu')

LIGHTGLUE = """
import kornia, torch

class ALIKED(torch.nn.Module):
    def __init__(self, **conf):
        super().__init__()
        self.model = kornia.feature.ALIKED(
            conf['model_name'], conf['max_num_keypoints'], conf['detection_threshold'])
        url = 'https://github.com/Shiaoming/ALIKED/raw/main/models/{}.pth'
        tensors = torch.hub.load_state_dict_from_url(
            url.format(conf['model_name']), map_location='cpu')
        self.model.load_state_dict(tensors, strict=False)

    def forward(self, data):
        found = self.model(data['image'])[0]
        return {'keypoints': found.keypoints[None].flip(1),
                'keypoint_scores': found.keypoint_scores[None].flip(1),
                'descriptors': found.descriptors[None].flip(1)}

class LightGlue(torch.nn.Module):
    features = {'aliked': {}, 'disk': {}, 'superpoint': {}}

    def __init__(self, features='superpoint', **conf):
        super().__init__()
        url = 'https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv/{}_lightglue.pth'
        tensors = torch.hub.load_state_dict_from_url(url.format(features), file_name='cached')
        self.net = kornia.feature.LightGlue(
            None, input_dim=128, filter_threshold=conf['filter_threshold'], flash=False)
        self.net.load_state_dict(tensors)

    def forward(self, data):
        assert data['image0']['keypoints'].shape[0] == data['image1']['image_size'].shape[0] == 1
        return self.net(data)
"""
HLOC_ALIKED = """
from lightglue import ALIKED as ALIKED_
from ..utils.base_model import BaseModel

class ALIKED(BaseModel):
    def _init(self, conf):
        conf.pop('name')
        self.model = ALIKED_(**conf)

    def _forward(self, data):
        found = self.model(data)
        return {'keypoints': list(found['keypoints']),
                'keypoint_scores': list(found['keypoint_scores']),
                'descriptors': [f.t() for f in found['descriptors']]}
"""
HLOC_BASE = """
import torch

class BaseModel(torch.nn.Module):
    def __init__(self, conf):
        super().__init__()
        self._init(dict(conf))

    def forward(self, data):
        return self._forward(data)

def dynamic_load(root, model):
    module = __import__(f'{root.__name__}.{model}', fromlist=[''])
    return next(v for v in vars(module).values()
                if isinstance(v, type) and issubclass(v, BaseModel) and v is not BaseModel)
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install packages of the interface of cvg's."""
    files = {
        'lightglue/__init__.py': LIGHTGLUE,
        'hloc/__init__.py': '',
        'hloc/extractors/__init__.py': '',
        'hloc/extractors/aliked.py': HLOC_ALIKED,
        'hloc/utils/__init__.py': '',
        'hloc/utils/base_model.py': HLOC_BASE,
    }
    for name, text in files.items():
        path = tmp_path / 'site' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    monkeypatch.syspath_prepend(tmp_path / 'site')
    for name in [name for name in sys.modules if name.split('.')[0] in ('lightglue', 'hloc')]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.split('.')[0] in ('lightglue', 'hloc')]:
        del sys.modules[name]


@pytest.mark.parametrize('package', ['lightglue', 'hloc'])
def test_features_of_an_installed_package_are_those_of_ours(
    packages: None, weights: Path, lounge: Any, package: str
) -> None:
    assert_same_features(package, lounge[1][0].image)


def test_features_of_the_real_package_are_those_of_ours(weights: Path, lounge: Any) -> None:
    pytest.importorskip('lightglue', reason='lightglue of github.com/cvg/LightGlue not installed')
    assert_same_features('lightglue', lounge[1][0].image)


def test_features_of_the_real_hloc_are_those_of_ours(weights: Path, lounge: Any) -> None:
    pytest.importorskip('hloc', reason='hloc of github.com/cvg not installed')
    assert_same_features('hloc', lounge[1][0].image)


def assert_same_features(package: str, image: Any) -> None:
    ours = create_front_end('aliked', PLAIN).extract(image)
    theirs = create_front_end('aliked', {**PLAIN, 'implementation': package}).extract(image)
    assert len(theirs) == len(ours) == 200
    assert (np.diff(theirs.scores) <= 0.0).all()
    apart = np.linalg.norm(theirs.keypoints[:, None] - ours.keypoints[None], axis=2)
    same = apart.min(axis=1) < 0.05
    assert same.mean() > 0.95
    described = ours.descriptors[apart.argmin(axis=1)][same]
    np.testing.assert_allclose(theirs.descriptors[same], described, atol=2e-3)


def test_an_installed_lightglue_matches_as_ours(
    packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same_matches(monkeypatch, seeded_of_kornia())


def test_the_real_lightglue_matches_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip(
        'lightglue', reason='lightglue of github.com/cvg/LightGlue not installed'
    )
    torch.manual_seed(0)
    network = package.LightGlue(features=None, input_dim=128)
    assert_same_matches(monkeypatch, network.state_dict())


def seeded_of_kornia() -> dict[str, Any]:
    import kornia

    torch.manual_seed(0)
    return kornia.feature.LightGlue(None, input_dim=128, flash=False).state_dict()


def assert_same_matches(monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Any]) -> None:
    monkeypatch.setattr(installed, 'require', lambda checkpoint: checkpoint.file_name)
    monkeypatch.setattr(installed, 'read_tensors', lambda path: tensors)
    ours = load_lightglue(LightGlueShape(128), tensors, Path('seeded'))
    options = AlikedOptions(min_match_score=0.0)
    theirs = installed.InstalledLightGlue('aliked', options, CPU)
    random = torch.Generator().manual_seed(1)
    keypoints = torch.rand(120, 2, generator=random) * torch.tensor([639.0, 479.0])
    described = torch.randn(120, 128, generator=random)
    described = torch.nn.functional.normalize(described, dim=1)
    sizes = [(120, 0), (70, 0), (50, 60)]
    with torch.inference_mode():
        found = []
        for matcher in (ours, theirs):
            parts = [
                matcher.prepare(keypoints[start:][:count], described[start:][:count], (640, 480))
                for count, start in sizes
            ]
            references = [matcher.resident(part) if matcher is theirs else part for part in parts]
            found.append(matcher(parts[0], references))
    assert found[0].shape == found[1].shape == (3, 120, 2)
    same = (found[0][..., 0] == found[1][..., 0]).float().mean()
    assert same > 0.97
    assert (found[1][..., 0] >= 0).sum() > 100


@pytest.mark.parametrize(
    ('name', 'values', 'line'),
    [
        ('aliked', {'implementation': 'lightglue'},
         r"implementation 'lightglue' is not usable here .* run 'pip install git\+https"),
        ('disk', {'implementation': 'hloc'}, r"implementation 'hloc' is not usable here"),
        ('xfeat', {'implementation': 'lightglue'}, "'lightglue' does not have it"),
    ],
)  # fmt: skip
def test_a_package_that_is_not_there_is_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, values: dict[str, Any], line: str
) -> None:
    for package in ('lightglue', 'hloc', 'hloc.extractors'):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=line) as caught:
        create_front_end(name, values)
    assert '\n' not in str(caught.value)


def test_packages_never_download(
    packages: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / 'none'))
    before = torch.hub.load_state_dict_from_url
    with pytest.raises(InputError, match=r"'aliked-n16\.pth' .* are missing: run"):
        create_front_end('aliked', {'implementation': 'lightglue'})
    with installed._weights_of_ours(), pytest.raises(InputError, match='nothing is downloaded'):
        torch.hub.load_state_dict_from_url('https://example.org/other.pth')
    assert torch.hub.load_state_dict_from_url is before
