"""Idle threads of torch sleep, unless the user wants them to spin."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys
assert 'torch' not in sys.modules
import {module}
assert 'torch' in sys.modules
print(os.environ['OMP_WAIT_POLICY'])
"""


@pytest.mark.parametrize(
    'module',
    ['hloc_localizer.features.learned.front_end', 'hloc_localizer.retrieval.learned.netvlad'],
)
@pytest.mark.parametrize(('chosen', 'expected'), [(None, 'PASSIVE'), ('ACTIVE', 'ACTIVE')])
def test_policy_is_set_before_torch_is_loaded(
    module: str, chosen: str | None, expected: str
) -> None:
    pytest.importorskip('torch', reason='needs the extra deep')
    variables = {key: value for key, value in os.environ.items() if key != 'OMP_WAIT_POLICY'}
    if chosen is not None:
        variables['OMP_WAIT_POLICY'] = chosen
    command = [sys.executable, '-c', _PROGRAM.format(module=module)]
    answer = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == expected
