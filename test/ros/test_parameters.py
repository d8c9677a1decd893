"""Options as ROS parameters: declared with what they mean, refused in one clear line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs ROS 2')
from rclpy.node import Node
from rclpy.parameter import Parameter

from hloc_localizer.errors import InputError
from hloc_localizer.options import Options, option
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.parameters import (
    check_change,
    checked_path,
    declare_options,
    paths_of,
    read_options,
)


@dataclass(frozen=True)
class Inner(Options):
    error_px: float = option(4.0, 'Largest error.', minimum=0.5, maximum=50.0)
    count: int = option(3, 'How many.', minimum=1)
    names: tuple[str, ...] = option((), 'Which.')


@dataclass(frozen=True)
class Outer(Options):
    mode: str = option('fast', 'How.', choices=('fast', 'slow'))
    inner: Inner = option(Inner, 'More.')


@pytest.fixture
def node_with(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Node]]:
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes: list[Node] = []

    def make(values: dict[str, Any]) -> Node:
        nodes.append(
            Node(
                'parameters',
                context=context,
                automatically_declare_parameters_from_overrides=True,
                parameter_overrides=[Parameter(name, value=v) for name, v in values.items()],
            )
        )
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_every_leaf_becomes_a_parameter_with_description_and_range(
    node_with: Callable[..., Node],
) -> None:
    node = node_with({})
    assert declare_options(node, Outer()) == Outer()
    descriptor = node.describe_parameter('inner.error_px')
    assert descriptor.description == 'Largest error.'
    assert descriptor.floating_point_range[0].to_value == 50.0
    assert node.describe_parameter('inner.count').integer_range[0].from_value == 1
    assert 'fast' in node.describe_parameter('mode').additional_constraints


def test_given_values_are_taken_and_an_integer_serves_as_a_float(
    node_with: Callable[..., Node],
) -> None:
    node = node_with({'mode': 'slow', 'inner.error_px': 5, 'inner.names': ['a', 'b']})
    expected = Outer(mode='slow', inner=Inner(error_px=5.0, names=('a', 'b')))
    assert declare_options(node, Outer()) == expected


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('mode', 'medium'), ('mode', 3), ('inner.error_px', 0.1), ('inner.error_px', 100),
        ('inner.error_px', 'x'), ('inner.error_px', float('nan')), ('inner.count', 0),
        ('inner.count', 2.5), ('inner.count', True), ('inner.names', 'a'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(
    node_with: Callable[..., Node], name: str, value: object
) -> None:
    with pytest.raises(InputError, match=rf"^parameter '{name}': ") as caught:
        declare_options(node_with({name: value}), Outer())
    assert '\n' not in str(caught.value)


def test_changes_at_run_time_are_judged_by_the_same_rules(
    node_with: Callable[..., Node],
) -> None:
    node = node_with({})
    declare_options(node, Outer())
    node.add_on_set_parameters_callback(lambda p: check_change(node, Outer(), p, ''))
    wrong = node.set_parameters([Parameter('mode', value='medium')])[0]
    assert not wrong.successful
    assert "'medium' is not one of fast, slow" in wrong.reason
    assert node.set_parameters([Parameter('mode', value='slow')])[0].successful


def test_changes_are_refused_with_the_reason_while_the_node_runs(
    node_with: Callable[..., Node],
) -> None:
    node = node_with({})
    declare_options(node, Outer())
    change = [Parameter('inner.count', value=4)]
    refused = check_change(node, Outer(), change, 'clean up first')
    assert not refused.successful
    assert "'inner.count'" in refused.reason
    assert 'clean up first' in refused.reason
    assert check_change(node, Outer(), [Parameter('foreign', value=1)], 'no').successful


@pytest.mark.parametrize(
    ('name', 'why'),
    [
        ('x' * 300, 'File name too long'),
        ('~nosuchuser/map', 'home directory'),
        ('a\0b', 'null'),
        ('loop/map', 'symbolic links'),
    ],
)
def test_what_cannot_be_a_path_is_refused_by_the_name_of_its_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'loop').symlink_to('loop')
    for take in (checked_path, paths_of):
        with pytest.raises(InputError, match=r"^parameter 'record': ") as caught:
            take(name, 'record')
        assert why in str(caught.value)
        assert len(str(caught.value)) < 200


def test_paths_need_not_exist_and_a_name_with_a_comma_may_be_one(tmp_path: Path) -> None:
    assert checked_path(f'{tmp_path}/no/map', 'map') == tmp_path / 'no' / 'map'
    one, other, both = tmp_path / 'a', tmp_path / 'b', tmp_path / 'a,b'
    both.mkdir()
    assert paths_of(str(both), 'map') == [both]
    assert paths_of(f'{one}, {other},', 'map') == [one, other]
    long = ','.join(f'{tmp_path}/{"x" * 200}{n}' for n in range(3))
    assert len(paths_of(long, 'map')) == 3


def test_all_parameters_of_the_localizer_are_read_in_a_moment(
    node_with: Callable[..., Node],
) -> None:
    """Images wait for it, when one of them changes."""
    node = node_with({})
    declare_options(node, LocalizerNodeOptions())
    begin = time.process_time()
    assert read_options(node, LocalizerNodeOptions()) == LocalizerNodeOptions()
    assert time.process_time() - begin < 0.05
