"""Sets parameters while the executor goes on: what takes long is done in a thread."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_parameters
from rclpy.task import Future

_NAMES = ('set_parameters', 'set_parameters_atomically')

Prepare = Callable[[list[Parameter[Any]]], 'concurrent.futures.Future[Any] | None']


class SettingService:
    """
    Serves ``set_parameters`` and ``set_parameters_atomically`` in the place of rclpy's services.

    Those hold up the executor, and with it images, clock and transforms, until the callbacks of
    the node have judged a change. Here calls are answered one after the other, each when its work
    is done, and an error in one is its answer and not the end of the process.
    """

    def __init__(self, node: Node, *, prepare: Prepare, done: Callable[[], None]) -> None:
        """
        Replace the services of a node.

        :param prepare: begins what takes long about a change, and returns what is to be waited for;
            None for a change that takes no time. The callbacks of the node are called after it.
        :param done: called when a change was answered.
        """
        self._node = node
        self._prepare = prepare
        self._done = done
        for service in list(node.services):
            if service.srv_name.split('/')[-1] in _NAMES:
                node.destroy_service(service)
        group = MutuallyExclusiveCallbackGroup()
        for kind, name, callback in (
            (SetParameters, _NAMES[0], self._set),
            (SetParametersAtomically, _NAMES[1], self._set_atomically),
        ):
            node.create_service(
                kind, f'~/{name}', callback, qos_profile=qos_profile_parameters,
                callback_group=group,
            )  # fmt: skip

    async def _set(
        self, request: SetParameters.Request, response: SetParameters.Response
    ) -> SetParameters.Response:
        response.results = [await self._change([message]) for message in request.parameters]
        return response

    async def _set_atomically(
        self, request: SetParametersAtomically.Request, response: SetParametersAtomically.Response
    ) -> SetParametersAtomically.Response:
        response.result = await self._change(request.parameters)
        return response

    async def _change(self, messages: Sequence[Any]) -> SetParametersResult:
        try:
            parameters = [Parameter.from_parameter_msg(message) for message in messages]
            for one in parameters:
                if not self._node.has_parameter(one.name):
                    reason = f"parameter '{one.name}' is not known"
                    return SetParametersResult(successful=False, reason=reason)
            work = self._prepare(parameters)
            if work is not None:
                await self._end_of(work)
            return self._node.set_parameters_atomically(parameters)
        except Exception as error:  # of rclpy, for types that it does not know
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            self._node.get_logger().warning(f'parameters cannot be set: {reason}')
            return SetParametersResult(successful=False, reason=reason)
        finally:
            self._done()

    def _end_of(self, work: concurrent.futures.Future[Any]) -> Future[None]:
        """Return what can be awaited; whether the work succeeded is another's business."""
        ended: Future[None] = Future()

        def tell(_: object) -> None:
            ended.set_result(None)
            if self._node.executor is not None:
                self._node.executor.wake()

        work.add_done_callback(tell)
        return ended
