"""Every front end has its preset, and what a preset says is so."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from hloc_localizer.features.registry import front_end_names
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.weights.catalogue import find_checkpoint

PRESETS = sorted((Path(__file__).resolve().parents[2] / 'config' / 'front_ends').glob('*.yaml'))


def test_every_front_end_has_a_preset_for_each_matcher() -> None:
    expected = {'sift'}
    for name in front_end_names():
        expected |= {name, f'{name}-nearest'} if name != 'sift' else set()
    assert {path.stem for path in PRESETS} == expected


def test_presets_are_options_of_a_build() -> None:
    for path in PRESETS:
        options = BuildOptions().with_values(yaml.safe_load(path.read_text(encoding='utf-8')))
        name, _, nearest = path.stem.partition('-')
        assert options.front_end == name
        if name != 'sift':
            matcher = options.as_dict()[name]['matcher']
            assert matcher == ('nearest_neighbour' if nearest else 'lightglue')


def test_presets_name_their_weights_with_licence_and_their_own_file() -> None:
    for path in PRESETS:
        text = path.read_text(encoding='utf-8')
        assert f'--config config/front_ends/{path.name}\n' in text
        names = re.findall(r'weights fetch ([\w -]+?)(?: \(|\n)', text)
        weights = [find_checkpoint(name) for line in names for name in line.split()]
        assert bool(weights) == (path.stem != 'sift')
        assert any('lightglue' in w.name or 'lighterglue' in w.name for w in weights) == (
            'matcher: lightglue' in text
        )
        for checkpoint in weights:
            if not checkpoint.commercial_use:
                assert 'non-commercial' in text
            elif path.stem.split('-')[0] != 'superpoint':
                assert checkpoint.licence in text
