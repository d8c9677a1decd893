"""Run one node as a process: errors as one line, signals as a clean end, an exit status."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import rclpy
import rclpy.logging
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.freed_memory import keep_freed_memory
from hloc_localizer.interruptible import interruptible


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
    with interruptible():
        return _run(make, name, start, args)


def _run(
    make: Callable[[], _NodeT],
    name: str,
    start: Callable[[_NodeT], int | None],
    args: list[str] | None,
) -> int:
    node: _NodeT | None = None
    try:
        # A thread that rclpy's own handlers start wakes executors, destroyed ones too: it crashed.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        # Several threads would cost four times as much for each message that arrives.
        with SingleThreadedExecutor() as executor:
            node = make()
            status = start(node)
            if status is not None:
                return status
            _spin(executor, node)
    except HlocLocalizerError as error:
        rclpy.logging.get_logger(name).error(str(error))
        return error.exit_status
    except rclpy_implementation.RCLError as error:  # malformed arguments or parameter file
        rclpy.logging.get_logger(name).error(str(error).splitlines()[0])
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if node is not None:
            node.close()
        rclpy.try_shutdown()
    return node.exit_status if node is not None else 0


def _spin(executor: Executor, node: object) -> None:
    assert isinstance(node, Node)
    executor.add_node(node)
    told: Future[None] = Future()
    with ThreadPoolExecutor(1, thread_name_prefix='spin') as thread:
        try:
            # The main thread is free for signals: one that waits in rclpy does not see them.
            thread.submit(executor.spin_until_future_complete, told).result()
        except (rclpy_implementation.RCLError, InvalidHandle):
            if rclpy.ok():
                raise  # otherwise a callback published while the node ended itself
        finally:
            # The context stays valid: what closes the node still needs its publishers and timers.
            told.set_result(None)
