"""What the documentation names exists: commands, options, parameters, topics, files, links."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hloc_localizer.cli import main
from hloc_localizer.cli.localize_options import LocalizeCommandOptions
from hloc_localizer.features.registry import front_end_names
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.result import Reason
from hloc_localizer.mapping.import_options import ColmapImportOptions
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps.container import _SCHEMA
from hloc_localizer.options import Options
from hloc_localizer.ros.map_builder_options import MapBuilderNodeOptions
from hloc_localizer.ros.options import LocalizerNodeOptions

ROOT = Path(__file__).resolve().parent.parent
PAGES = ('README.md', *sorted(f'docs/{path.name}' for path in (ROOT / 'docs').glob('*.md')))
NODES = (ROOT / 'hloc_localizer' / 'ros').glob('*.py')
STRINGS_OF_NODES = frozenset(
    node.value
    for path in NODES
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
)
ALL_OPTIONS: tuple[Options, ...] = (
    BuildOptions(),
    LocalizerNodeOptions(),
    MapBuilderNodeOptions(),
    ColmapImportOptions(),
    LocalizeCommandOptions(),
)
LEAVES = {leaf.name: leaf for options in ALL_OPTIONS for leaf in options.leaves()}


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the arguments of every hloc-localizer command in code; lines may be continued."""
    for code in _code(text):
        for line in code.replace('\\\n', ' ').splitlines():
            match = re.match(
                r'(?:ros2 run hloc_localizer |python -m )?hloc[-_]localizer(?: |$)', line
            )
            if match:
                yield shlex.split(line[match.end() :], comments=True)


def unknown_commands(text: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the commands that are not registered, and the options that they do not take."""
    complaints = []
    for words in commands_in(text):
        if not words or words[0].startswith('-'):
            continue
        known = words[:2] if words[0] == 'import' else words[:1]
        with pytest.raises(SystemExit) as end:
            main([*known, '--help'])
        help_text = capsys.readouterr().out
        if end.value.code != 0:
            complaints.append(f'no command {" ".join(known)}')
            continue
        options = {word.split('=')[0] for word in words if re.match(r'--?[a-z]', word)}
        named = set(re.findall(r'(?<![\w-])--?[a-z][\w-]*', help_text))
        complaints += [f'{words[0]} has no {option}' for option in sorted(options - named)]
    return complaints


def unknown_options(text: str) -> list[str]:
    """Return the names that ``--set`` is said to take and that no options have."""
    names = re.findall(r'--set ([a-z]\w*(?:\.\w+)*)=', text)
    return [name for name in names if name not in LEAVES]


def unknown_parameters(text: str) -> list[str]:
    """Return dotted names in code that begin like an option and are none."""
    dotted = re.findall(r'`((?:build|localization|source|accept|guided|covariance)\.[\w.]+)`', text)
    known = {*LEAVES, *(leaf.name for leaf in LocalizerOptions().leaves())}
    return [name for name in dotted if name not in known and not name.endswith('.py')]


def unknown_topics(text: str) -> list[str]:
    """Return private topics and services that no node has."""
    named = set(re.findall(r'~/[a-z_]+(?:/[a-z_]+)*', '\n'.join(_inline_code(text))))
    return sorted(named - STRINGS_OF_NODES)


def unknown_launch_arguments(text: str) -> list[str]:
    """Return ``name:=`` of launch commands that their file does not declare."""
    complaints = []
    for code in _code(text):
        for line in code.replace('\\\n', ' ').splitlines():
            match = re.search(r'ros2 launch hloc_localizer (\S+)', line)
            if match is None:
                continue
            path = ROOT / 'launch' / match[1]
            if not path.is_file():
                complaints.append(f'no launch file {match[1]}')
                continue
            declared = {
                node.value.rsplit('.', 1)[-1]
                for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            given = re.findall(r'(\w+):=', line)
            complaints += [f'{match[1]} has no {name}' for name in given if name not in declared]
    return complaints


def unknown_targets(text: str) -> list[str]:
    """Return targets that ``make`` does not have."""
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    targets = set(re.findall(r'^([a-z]+):', makefile, re.MULTILINE))
    variables = set(re.findall(r'^([A-Z_]+) \?=', makefile, re.MULTILINE))
    complaints = []
    for code in _code(text):
        for match in re.finditer(r'^make ([a-z]+)((?: [A-Z]+=\S+)*)', code, re.MULTILINE):
            complaints += [] if match[1] in targets else [f'make has no {match[1]}']
            given = set(re.findall(r'([A-Z]+)=', match[2]))
            complaints += [f'make has no {name}' for name in sorted(given - variables)]
    return complaints


def broken_links(text: str, page: str) -> list[str]:
    """Return relative links that lead nowhere."""
    links = re.findall(r'\]\(([^)#\s]+)[^)]*\)', text)
    here = (ROOT / page).parent
    return [link for link in links if '://' not in link and not (here / link).resolve().exists()]


def broken_imports(text: str) -> list[str]:
    """Return what Python snippets import of this package, and it does not have."""
    complaints = []
    for block in re.findall(r'```python\n(.*?)```', text, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('hloc_'):
                try:
                    module = importlib.import_module(node.module or '')
                except ModuleNotFoundError:
                    complaints.append(f'no module {node.module}')
                    continue
                names = (alias.name for alias in node.names)
                complaints += [f'no {name}' for name in names if not hasattr(module, name)]
    return complaints


def table_rows(text: str, heading: str) -> dict[str, str]:
    """Return first and second cell, without backticks, of the rows of the table below a heading."""
    section = re.split(r'\n#+ ', text.split(f'{heading}\n', 1)[1])[0]
    rows = re.findall(r'^\| (.+?) \| (.*?) \|', section, re.MULTILINE)
    return {first.strip('`'): second.strip('`') for first, second in rows[1:]}


def _code(text: str) -> list[str]:
    blocks = re.findall(r'^```(\w*)\n(.*?)^```', text, re.DOTALL | re.MULTILINE)
    return [*(code for language, code in blocks if language in ('', 'sh')), *_inline_code(text)]


def _inline_code(text: str) -> list[str]:
    return re.findall(r'`([^`\n]+)`', re.sub(r'```.*?```', '', text, flags=re.DOTALL))


def _read(page: str) -> str:
    return (ROOT / page).read_text(encoding='utf-8')


@pytest.mark.parametrize('page', PAGES)
def test_commands_are_registered_and_take_their_options(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unknown_commands(_read(page), capsys) == []


TEXT_CHECKS: tuple[Callable[[str], list[str]], ...] = (
    unknown_options,
    unknown_parameters,
    unknown_topics,
    unknown_launch_arguments,
    unknown_targets,
    broken_imports,
)


@pytest.mark.parametrize('check', TEXT_CHECKS)
@pytest.mark.parametrize('page', PAGES)
def test_what_a_page_names_exists(page: str, check: Callable[[str], list[str]]) -> None:
    assert check(_read(page)) == []


@pytest.mark.parametrize('page', PAGES)
def test_relative_links_resolve(page: str) -> None:
    assert broken_links(_read(page), page) == []


@pytest.mark.parametrize(
    ('check', 'text', 'complaint'),
    [
        (unknown_options, '`--set source.pose_file=x`', 'source.pose_file'),
        (unknown_parameters, '`build.source.fsp`', 'build.source.fsp'),
        (unknown_topics, '`~/poze`', '~/poze'),
        (unknown_launch_arguments, '`ros2 launch hloc_localizer localize.launch.py mapp:=x`',
         'localize.launch.py has no mapp'),
        (unknown_launch_arguments, '`ros2 launch hloc_localizer no.launch.py`',
         'no launch file no.launch.py'),
        (unknown_targets, '`make tests`', 'make has no tests'),
        (unknown_targets, '```sh\nmake demo BAGS=x\n```', 'make has no BAGS'),
        (broken_imports, '```python\nfrom hloc_localizer.maps import Mapp\n```', 'no Mapp'),
        (broken_imports, '```python\nfrom hloc_localizer.mapps import Map\n```',
         'no module hloc_localizer.mapps'),
    ],
)  # fmt: skip
def test_a_wrong_name_is_noticed(
    check: Callable[[str], list[str]], text: str, complaint: str
) -> None:
    assert check(text) == [complaint]


def test_a_wrong_command_option_or_link_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    text = '`hloc-localizer biuld`\n```sh\nhloc-localizer info M --jsonn\nmake demo\n```'
    assert unknown_commands(text, capsys) == ['info has no --jsonn', 'no command biuld']
    assert broken_links('[x](docs/nowhere.md#a) [y](LICENSE)', 'README.md') == ['docs/nowhere.md']


def test_every_line_of_the_readme_that_runs_the_command_line_is_seen() -> None:
    """The checks above did not look at an empty list."""
    lines = re.findall(r'^hloc-localizer .*', _read('README.md'), re.MULTILINE)
    assert len(lines) >= 4
    seen = list(commands_in(_read('README.md')))
    assert [line for line in lines if shlex.split(line)[1:] not in seen] == []


def test_the_checks_saw_the_readme() -> None:
    commands = {words[0] for words in commands_in(_read('README.md')) if words}
    for command in ('build', 'localize', 'evaluate', 'info', 'verify', 'import', 'export',
                    'weights', 'demo'):  # fmt: skip
        assert command in commands
    assert {'README.md', 'docs/architecture.md', 'docs/map-format.md'} <= set(PAGES)


@pytest.mark.parametrize(
    ('heading', 'options', 'whole'),
    [
        ('### Parameters', LocalizerNodeOptions(), True),
        ('### Parameters of the build', MapBuilderNodeOptions(), False),
    ],
)
def test_parameter_tables_show_the_defaults(heading: str, options: Options, whole: bool) -> None:
    rows = table_rows(_read('docs/topics-and-parameters.md'), heading)
    defaults = {leaf.name: _shown(leaf.value) for leaf in options.leaves()}
    assert rows
    assert rows == {name: defaults.get(name) for name in rows}
    if whole:
        assert set(rows) == set(defaults)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == '' else str(value)


def test_every_private_topic_and_service_is_documented() -> None:
    text = _read('docs/topics-and-parameters.md')
    private = {name for name in STRINGS_OF_NODES if re.fullmatch(r'~/[a-z_/]+', name)}
    assert {'~/pose', '~/relocalize', '~/progress'} <= private
    assert {name for name in private if f'| `{name}`' not in text} == set()


def test_every_reason_for_refusing_is_explained() -> None:
    rows = table_rows(_read('docs/topics-and-parameters.md'), '### Why an image is refused')
    assert set(rows) == {reason.value for reason in Reason} - {Reason.NONE.value}


def test_every_array_of_the_compiled_map_is_described() -> None:
    rows = table_rows(_read('docs/map-format.md'), '## localizer.safetensors')
    described = {name.strip('`') for row in rows for name in row.split(', ')}
    assert described - {'retrieval.*'} == set(_SCHEMA)


def test_every_front_end_is_in_the_table() -> None:
    rows = table_rows(_read('README.md'), '## Front ends')
    assert tuple(name.split('`')[0] for name in rows) == front_end_names()


def test_the_readme_takes_ten_minutes() -> None:
    assert len(_read('README.md').splitlines()) < 275
    assert (ROOT / 'docs' / 'demo.png').stat().st_size < 400_000
