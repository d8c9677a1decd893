"""Nodes as processes, and a client that listens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class NodeProcess:
    """A node in a process of its own; what it wrote can be read when it has ended."""

    process: subprocess.Popen[str]
    output: str = ''

    def stop(self, how: signal.Signals = signal.SIGINT, timeout_s: float = 15.0) -> int:
        """Ask it to end and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return its exit status."""
        try:
            self.output = self.process.communicate(timeout=timeout_s)[0] or ''
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.output = self.process.communicate()[0] or ''
            raise
        return self.process.returncode


@contextmanager
def node_process(
    module: str,
    environment: dict[str, str],
    parameters: dict[str, object],
    remappings: Sequence[str] = (),
) -> Iterator[NodeProcess]:
    """Run ``python -m module`` with ROS parameters; whatever happens, it is gone afterwards."""
    command = [sys.executable, '-m', module, '--ros-args']
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        command += ['-p', f'{name}:={text}']
    for rule in remappings:
        command += ['-r', rule]
    process = subprocess.Popen(
        command,
        env={**environment, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path[1:]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = NodeProcess(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        running.output = process.communicate()[0] or ''


@contextmanager
def clean_node_process(
    module: str,
    environment: dict[str, str],
    parameters: dict[str, object],
    remappings: Sequence[str] = (),
) -> Iterator[NodeProcess]:
    """Run a node as ``node_process`` does; asked to end, it must do so without any error."""
    with node_process(module, environment, parameters, remappings) as process:
        yield process
        status = process.stop()
        assert status == 0, f'{status}: {process.output}'
        assert 'Traceback' not in process.output, process.output


@dataclass
class Heard:
    """The messages of one topic with the steady time of their arrival."""

    messages: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.messages)


class Client:
    """A node of the test that one thread spins."""

    def __init__(self, environment: dict[str, str], **arguments: Any) -> None:
        """Join the domain of an environment."""
        self._saved = dict(os.environ)
        os.environ.update(environment)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(environment['ROS_DOMAIN_ID']))
        self.node = Node('client', context=self.context, **arguments)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def listen(self, kind: Any, topic: str, qos: Any = 100) -> Heard:
        """Subscribe and collect."""
        heard = Heard()

        def take(message: Any) -> None:
            heard.messages.append(message)
            heard.times.append(time.monotonic())

        self.node.create_subscription(kind, topic, take, qos)
        return heard

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = 10.0) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(timeout_sec=timeout_s), f'no service {name}'
        future = client.call_async(request)
        wait_until(future.done, timeout_s, f'an answer of {name}')
        return future.result()

    def close(self) -> None:
        """Leave."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
        os.environ.clear()
        os.environ.update(self._saved)


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Wait for a condition; fail by saying what did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f'not within {timeout_s} s: {what}'
        time.sleep(0.02)
