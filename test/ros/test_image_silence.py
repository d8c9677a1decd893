"""The silence of a camera is measured by one clock, whatever becomes of it."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from rclpy.parameter import Parameter
from ros_process import Client

from hloc_localizer.ros.image_silence import ImageSilence

STAMP_NS = 1_700_000_000_000_000_000


def test_a_switch_of_use_sim_time_begins_anew(ros_environment: dict[str, str]) -> None:
    client = Client(ros_environment)
    silence = ImageSilence(client.node)
    for simulated in (True, False):
        silence.end(STAMP_NS)
        assert silence.stamp_ns is not None
        assert 0 <= silence.stamp_ns - STAMP_NS < 1e9
        client.node.set_parameters([Parameter('use_sim_time', value=simulated)])
        assert silence.seconds == 0.0
        assert silence.stamp_ns is None
    client.close()
