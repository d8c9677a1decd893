"""Run one node as a process: errors as one line, signals as a clean end, an exit status."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import rclpy
import rclpy.logging
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.freed_memory import keep_freed_memory


class _ClosableNode(Protocol):
    exit_status: int
    """Of the process, when it ends by itself or is told to."""

    def close(self) -> None:
        """Stop the node's own threads."""
        ...


_NodeT = TypeVar('_NodeT', bound=_ClosableNode)


def run_node(
    make: Callable[[], _NodeT],
    *,
    name: str,
    start: Callable[[_NodeT], int | None],
    args: list[str] | None,
) -> int:
    """
    Make a node, start it, spin it until the process is told to stop.

    :param name: of the logger, while there is no node.
    :param start: called once before spinning; an exit status ends the process at once.
    :param args: command line, None takes the one of the process.
    :returns: exit status: the node's own, or 1 or 2 as the error that ended it says.
    """
    keep_freed_memory()
    node: _NodeT | None = None
    try:
        rclpy.init(args=args)
        node = make()
        status = start(node)
        if status is not None:
            return status
        _spin(node)
    except HlocLocalizerError as error:
        rclpy.logging.get_logger(name).error(str(error))
        return error.exit_status
    except rclpy_implementation.RCLError as error:  # malformed arguments or parameter file
        if not rclpy.ok() and node is not None:
            return 0  # a signal came while starting
        rclpy.logging.get_logger(name).error(str(error).splitlines()[0])
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if node is not None:
            node.close()
        rclpy.try_shutdown()
    return node.exit_status if node is not None else 0


def _spin(node: object) -> None:
    assert isinstance(node, Node)
    # Several threads would cost four times as much for each message that arrives.
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    finally:
        # At a signal a thread of rclpy wakes executors. It crashed where one was destroyed
        # meanwhile, once in some sixty ends under load; to join it can wait for ever.
        time.sleep(_SIGNAL_S)
        executor.shutdown(timeout_sec=1.0)


_SIGNAL_S = 0.1
"""Ample for what takes microseconds."""
