"""Options: one definition read from YAML, command line assignments and ROS parameters."""

import dataclasses

import pytest
import yaml

from hloc_localizer.errors import InputError
from hloc_localizer.options import Options, option


@dataclasses.dataclass(frozen=True)
class Solver(Options):
    max_error_px: float = option(4.0, 'Largest reprojection error of an inlier.', minimum=0.1)
    iterations: int = option(1000, 'Most samples drawn.', minimum=1, maximum=100_000)


@dataclasses.dataclass(frozen=True)
class Example(Options):
    front_end: str = option('sift', 'Local features.', choices=('sift', 'xfeat'))
    equalise: bool = option(False, 'Equalise the histogram first.')
    topics: tuple[str, ...] = option((), 'Topics to read.')
    solver: Solver = option(Solver, 'Absolute pose.')


def refusal(values) -> str:
    with pytest.raises(InputError) as caught:
        Example().with_values(values)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_defaults_are_valid_and_listed_with_dotted_names():
    Example().check()
    leaves = {leaf.name: leaf for leaf in Example().leaves()}
    assert list(leaves) == [
        'front_end', 'equalise', 'topics', 'solver.max_error_px', 'solver.iterations'
    ]  # fmt: skip
    assert leaves['solver.iterations'].type is int
    assert leaves['solver.iterations'].maximum == 100_000
    assert leaves['topics'].type is tuple
    assert leaves['front_end'].choices == ('sift', 'xfeat')
    assert leaves['equalise'].description == 'Equalise the histogram first.'


def test_nested_yaml_sets_nested_options():
    text = 'front_end: xfeat\nsolver: {max_error_px: 2, iterations: 50}\ntopics: [/a, /b]\n'
    options = Example().with_values(yaml.safe_load(text))
    assert options == Example('xfeat', False, ('/a', '/b'), Solver(2.0, 50))
    assert isinstance(options.solver.max_error_px, float)


def test_dotted_and_nested_names_mean_the_same():
    nested = Example().with_values({'solver': {'iterations': 7}})
    assert nested == Example().with_values({'solver.iterations': 7})
    assert nested.solver.max_error_px == 4.0


def test_assignments_are_read_as_yaml():
    options = Example().with_assignments(
        ['solver.max_error_px=1e+0', 'equalise=true', 'topics=[/cam]', 'front_end=xfeat']
    )
    assert options == Example('xfeat', True, ('/cam',), Solver(1.0, 1000))


def test_the_original_is_not_changed():
    original = Example()
    original.with_values({'equalise': True})
    assert original == Example()


def test_options_come_back_from_their_own_yaml():
    options = Example('xfeat', True, ('/a',), Solver(2.5, 9))
    text = yaml.safe_dump(options.as_dict())
    assert Example().with_values(yaml.safe_load(text)) == options


@pytest.mark.parametrize(
    ('values', 'near'),
    [
        ({'frontend': 'sift'}, 'front_end'),
        ({'solver': {'max_error': 1.0}}, 'solver.max_error_px'),
        ({'solver.iteration': 1}, 'solver.iterations'),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(values, near):
    assert f"did you mean '{near}'?" in refusal(values)


def test_a_name_like_no_other_is_answered_with_all():
    message = refusal({'qqq': 1})
    assert message.startswith("unknown option 'qqq'; known: equalise, front_end, solver.iterations")


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'equalise': 'yes'}, "'equalise': 'yes' is not of type bool"),
        ({'equalise': 1}, "'equalise': 1 is not of type bool"),
        ({'solver.iterations': True}, "'solver.iterations': True is not of type int"),
        ({'solver.iterations': 2.5}, "'solver.iterations': 2.5 is not of type int"),
        ({'solver.max_error_px': 'wide'}, "'solver.max_error_px': 'wide' is not of type float"),
        ({'solver.max_error_px': None}, "'solver.max_error_px': None is not of type float"),
        ({'topics': '/a'}, "'topics': '/a' is not of type tuple"),
        ({'front_end': ['sift']}, 'is not of type str'),
        ({'solver': 3}, "unknown option 'solver'"),
        ({'front_end': 'orb'}, "'front_end': 'orb' is not one of sift, xfeat"),
        ({'solver.iterations': 0}, "'solver.iterations': 0 is below 1"),
        ({'solver.iterations': 100_001}, "'solver.iterations': 100001 is above 100000"),
        ({'solver.max_error_px': float('nan')}, "'solver.max_error_px': not a number"),
    ],
)
def test_a_wrong_value_is_named(values, message):
    assert message in refusal(values)


def test_both_ends_of_a_range_are_allowed():
    for value in (1, 100_000):
        assert Example().with_values({'solver.iterations': value}).solver.iterations == value


@pytest.mark.parametrize('text', ['equalise', '=3', ' =3'])
def test_an_assignment_without_name_or_value_is_refused(text):
    with pytest.raises(InputError, match='expected name=value'):
        Example().with_assignments([text])


def test_an_assignment_that_is_not_yaml_is_refused():
    with pytest.raises(InputError, match="option 'topics'"):
        Example().with_assignments(['topics=[/a'])


def test_an_assignment_cannot_make_objects():
    with pytest.raises(InputError, match="option 'topics'"):
        Example().with_assignments(['topics=!!python/object/apply:os.getcwd []'])
