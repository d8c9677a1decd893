"""A node as a process: how it ends, and with what status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ros_process import ROOT

NODE = """
    import sys, time
    from rclpy.node import Node
    from std_msgs.msg import String
    from hloc_localizer.ros.run_node import run_node

    def say(word):
        print(word, flush=True)

    class TestNode(Node):
        exit_status = 3

        def __init__(self):
            super().__init__('test_node')
            self.words = self.create_publisher(String, 'words', 1)
            self.timer = self.create_timer(0.01, self.work)

        def work(self):
            {work}

        def close(self):
            say('closing')
            if self.context.ok():
                say('valid')
                self.words.publish(String())
                self.timer.cancel()
            time.sleep(0.3)
            say('closed')

    def start(node):
        {start}

    sys.exit(run_node(TestNode, name='test_node', start=start, args=[]))
"""


@contextmanager
def node(
    environment: dict[str, str], *, work: str = "say('works')", start: str = 'return None'
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, '-c', textwrap.dedent(NODE).format(work=work, start=start)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert any(line.strip() == word for line in iter(process.stdout.readline, ''))


def said_at_its_end(process: subprocess.Popen[str]) -> list[str]:
    words, errors = process.communicate(timeout=15.0)
    assert 'Traceback' not in errors
    return [word for word in words.split() if word != 'works']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_cleanly(ros_environment, number):
    with node(ros_environment) as process:
        wait_for(process, 'works')
        process.send_signal(number)
        assert said_at_its_end(process) == ['closing', 'valid', 'closed']
        assert process.returncode == 3


def test_a_second_signal_does_not_interrupt_the_end(ros_environment):
    with node(ros_environment) as process:
        wait_for(process, 'works')
        process.send_signal(signal.SIGINT)
        wait_for(process, 'valid')
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert said_at_its_end(process) == ['closed']
        assert process.returncode == 3


def test_a_signal_interrupts_the_start(ros_environment):
    with node(ros_environment, start="say('starts'); time.sleep(60)") as process:
        wait_for(process, 'starts')
        process.send_signal(signal.SIGTERM)
        assert said_at_its_end(process) == ['closing', 'valid', 'closed']
        assert process.returncode == 3


@pytest.mark.parametrize('where', ['start', 'work'])
def test_a_node_that_ends_itself_gives_its_status(ros_environment, where):
    ends = {
        'start': 'node.context.try_shutdown()',
        'work': 'self.context.try_shutdown(); self.words.publish(String())',
    }
    with node(ros_environment, **{where: ends[where]}) as process:
        assert said_at_its_end(process) == ['closing', 'closed']
        assert process.returncode == 3


def test_what_a_callback_raises_ends_the_process_with_its_traceback(ros_environment):
    with node(ros_environment, work="raise RuntimeError('a bug')") as process:
        words, errors = process.communicate(timeout=15.0)
        assert 'RuntimeError: a bug' in errors
        assert words.split() == ['closing', 'valid', 'closed']
        assert process.returncode == 1
