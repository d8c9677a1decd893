"""The service ``~/relocalize``: its answer is what became of the next image."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

import rclpy.clock
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from hloc_localizer.ros.active_localizer import ActiveLocalizer
from hloc_localizer.ros.frame_result import FrameResult

NOT_ACTIVE = 'the node is not active'
"""The answer to calls of an unconfigured or inactive node."""


def steady_clock() -> Clock:
    """Return a clock that neither stops nor jumps."""
    return Clock(clock_type=rclpy.clock.ClockType.STEADY_TIME)  # type: ignore[attr-defined]


class Relocalization:
    """Answers calls while the executor goes on receiving images."""

    def __init__(
        self,
        *,
        node: Node,
        active: Callable[[], ActiveLocalizer | None],
        timeout_s: Callable[[], float],
    ) -> None:
        """
        Prepare.

        :param active: returns what localizes now; None while nothing does.
        :param timeout_s: returns how long an image is waited for.
        """
        self._node = node
        self._active = active
        self._timeout_s = timeout_s

    async def answer(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Search the whole map for the next image and answer with what it gave."""
        response.success = False
        active = self._active()
        if active is None:
            response.message = NOT_ACTIVE
            return response
        outcome: FrameResult | str = await self._next_outcome(active)  # type: ignore[assignment]
        if isinstance(outcome, str):
            response.message = outcome
        elif outcome.localized and not outcome.bridged and _only_near(outcome):
            response.message = (
                f'the whole map gave no pose; {outcome.inliers} inliers agree with the prediction'
            )
        elif outcome.localized and not outcome.bridged:
            response.success = True
            response.message = f'localized with {outcome.inliers} inliers'
        else:
            response.message = outcome.detail
        return response

    def _next_outcome(self, active: ActiveLocalizer) -> Future[Any]:
        """Return what the next image gives, or a line that says why there was none."""
        outcome: Future[Any] = Future()

        def settle(value: FrameResult | str) -> None:
            if not outcome.done():
                outcome.set_result(value)
                if self._node.executor is not None:
                    self._node.executor.wake()

        def answered(result: concurrent.futures.Future[FrameResult]) -> None:
            stopped = 'the node was deactivated, or its map changed'
            settle(stopped if result.cancelled() else result.result())

        def expired() -> None:
            settle(f'no image was answered within {timeout_s:g} s')
            awaited.cancel()

        def forget_timer(_: object) -> None:
            self._node.destroy_timer(timer)

        awaited = active.next_result()
        timeout_s = self._timeout_s()
        timer = self._node.create_timer(timeout_s, expired, clock=steady_clock())
        outcome.add_done_callback(forget_timer)
        awaited.add_done_callback(answered)
        return outcome


def _only_near(outcome: FrameResult) -> bool:
    """Tell whether a pose was found near a prediction alone, which is what the caller doubts."""
    recorded = outcome.recorded
    return recorded is not None and recorded.search is not None and not recorded.search.everywhere
