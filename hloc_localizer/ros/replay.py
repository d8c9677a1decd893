"""Play a recording to a localizer node and write down what it answers, and when."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from tf2_msgs.msg import TFMessage

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.interruptible import interruptible
from hloc_localizer.ros import messages
from hloc_localizer.ros.bag_player import BagPlayer, Playback
from hloc_localizer.sources.messages import matrix_of_pose, matrix_of_transform

_QUIET_S = 2.0
"""Listening ends when nothing has come for so long after the last image."""

_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.RELIABLE
)


class Listener(Node):
    """Hears what a localizer node publishes, with the steady time of arrival."""

    def __init__(self, localizer: str, map_frame: str) -> None:
        """
        Subscribe.

        :param localizer: full name of the node that is listened to.
        :param map_frame: transforms from this frame are heard.
        """
        super().__init__('replay_listener')
        self._map_frame = map_frame
        self.last_heard = time.monotonic()
        self.poses: dict[int, dict[str, Any]] = {}
        self.transforms: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        topic = f'{localizer}/pose_with_covariance'
        self.create_subscription(PoseWithCovarianceStamped, topic, self._on_pose, _QOS)
        self.create_subscription(DiagnosticStatus, f'{localizer}/status', self._on_status, _QOS)
        self.create_subscription(TFMessage, '/tf', self._on_tf, _QOS)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.last_heard = time.monotonic()
        self.poses[messages.stamp_to_ns(message.header.stamp)] = {
            'heard': self.last_heard,
            'pose': matrix_of_pose(message.pose.pose).tolist(),
            'covariance': np.asarray(message.pose.covariance).reshape(6, 6).tolist(),
        }

    def _on_status(self, message: DiagnosticStatus) -> None:
        self.last_heard = time.monotonic()
        self.answers.append(
            {
                'message': message.message,
                'values': {value.key: value.value for value in message.values},
            }
        )

    def _on_tf(self, message: TFMessage) -> None:
        for transform in message.transforms:
            if transform.header.frame_id == self._map_frame:
                self.transforms.append(
                    {
                        'stamp_ns': messages.stamp_to_ns(transform.header.stamp),
                        'child': transform.child_frame_id,
                        'pose': matrix_of_transform(transform.transform).tolist(),
                    }
                )


class Replay:
    """Plays one recording beside a listener: its stamps moved to now, or with its own clock."""

    def __init__(
        self, *, bag: Path, image_topic: str, localizer: str, map_frame: str, rate: float = 1.0
    ) -> None:
        """
        Open the bag and start listening.

        :param rate: seconds of the bag in one second; unless it is 1 the stamps stay and
            ``/clock`` is published, for a node with ``use_sim_time``.
        """
        self._image_topic = image_topic
        self._published: dict[int, float] = {}
        self._player_node = Node('replay_player')
        self._listener = Listener(localizer, map_frame)
        self._player = BagPlayer(
            node=self._player_node,
            bag=bag,
            # A recorded answer must not be mistaken for the node's.
            playback=Playback(
                rate=rate, clock=rate != 1.0, restamp=rate == 1.0,
                skip_tf_parents=(map_frame,), wait_for=(image_topic,),
            ),
            on_published=self._note,
        )  # fmt: skip
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._listener)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def run(self) -> dict[str, Any]:
        """Play, wait until the node is done, and return all that was published and heard."""
        self._player.play()
        while time.monotonic() < self._listener.last_heard + _QUIET_S:
            time.sleep(0.05)
        shift_ns = self._player.shift_ns
        heard = self._listener
        return {
            'images': [
                {'stamp_ns': stamp_ns - shift_ns, 'published': published, **self._answer(stamp_ns)}
                for stamp_ns, published in self._published.items()
            ],
            'transforms': [
                {**transform, 'stamp_ns': transform['stamp_ns'] - shift_ns}
                for transform in heard.transforms
            ],
            'answers': heard.answers,
        }

    def close(self) -> None:
        """Stop listening."""
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(timeout=2.0)
        self._player.close()
        self._listener.destroy_node()
        self._player_node.destroy_node()

    def _note(self, topic: str, time_ns: int, message: Any) -> None:
        if topic == self._image_topic:
            self._published[messages.stamp_to_ns(message.header.stamp)] = time.monotonic()

    def _answer(self, stamp_ns: int) -> dict[str, Any]:
        return self._listener.poses.get(stamp_ns, {})


def main(argv: Sequence[str] | None = None) -> int:
    """Replay a bag to a running node; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m hloc_localizer.ros.replay')
    parser.add_argument('bag', type=Path)
    parser.add_argument('--image-topic', required=True, help='topic that the node listens to')
    parser.add_argument('--localizer', default='/hloc_localizer', help='full name of the node')
    parser.add_argument('--map-frame', default='map')
    parser.add_argument('--rate', type=float, default=1.0, help='speed; not 1: with /clock')
    parser.add_argument('--output', type=Path, required=True, help='JSON file to write')
    arguments = parser.parse_args(argv)
    with interruptible():
        return _replay(arguments)


def _replay(arguments: argparse.Namespace) -> int:
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    replay = None
    try:
        replay = Replay(
            bag=arguments.bag,
            image_topic=arguments.image_topic,
            localizer=arguments.localizer,
            map_frame=arguments.map_frame,
            rate=arguments.rate,
        )
        arguments.output.write_text(json.dumps(replay.run()))
        return 0
    except HlocLocalizerError as error:
        print(f'error: {error}', file=sys.stderr)
        return error.exit_status
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        if replay is not None:
            replay.close()
        rclpy.try_shutdown()


if __name__ == '__main__':
    sys.exit(main())
