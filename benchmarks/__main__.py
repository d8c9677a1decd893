"""``python -m benchmarks [lounge|device|covariance|...] ...``: each measures, prints a table."""

from __future__ import annotations

import importlib
import sys

from hloc_localizer.freed_memory import keep_freed_memory

_MODULES = {
    'lounge': 'lounge',
    'tracking': 'tracking',
    'node': 'node',
    'device': 'device_stages',
    'references': 'references',
    'covariance': 'covariance',
    'window': 'window',
    'interrupted': 'interrupted',
    'extend': 'extend',
    'fuzz': 'fuzz',
    'endurance': 'endurance',
    'unknown': 'unknown',
    'memory': 'memory',
    'jpeg': 'damaged_jpeg',
}


def main(arguments: list[str]) -> int:
    """Run the benchmark that is named first; the lounge without a name."""
    name = 'lounge'
    if arguments and not arguments[0].startswith('-'):
        name, *arguments = arguments
    if name not in _MODULES:
        print(f"benchmark '{name}' is not known; known: {', '.join(_MODULES)}", file=sys.stderr)
        return 2
    keep_freed_memory()  # as the programs that are measured do
    try:
        module = importlib.import_module(f'benchmarks.{_MODULES[name]}')
    except ModuleNotFoundError as error:
        print(f"benchmark '{name}' needs {error.name}, which is not installed", file=sys.stderr)
        return 2
    status: int = module.main(arguments)
    return status


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
