"""The bags that this package writes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from bags import IMAGE_TOPIC, START, write_bag

from hloc_localizer.errors import InputError
from hloc_localizer.sources.bag_writer import BagWriter


def test_writer_leaves_nothing_half_written(tmp_path: Path) -> None:
    no_image = np.zeros((0, 0, 3), np.uint8)
    with pytest.raises(cv2.error), BagWriter(tmp_path / 'bag') as bag:
        bag.write_image(IMAGE_TOPIC, START, 'camera', no_image)
    assert not (tmp_path / 'bag').exists()
    (tmp_path / 'bag').mkdir()
    with pytest.raises(InputError, match=r'bag cannot be written: .* exists already'):
        BagWriter(tmp_path / 'bag')


def test_tf_static_is_latched(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    information = yaml.safe_load((path / 'metadata.yaml').read_text())
    topics = information['rosbag2_bagfile_information']['topics_with_message_count']
    durability = {
        each['topic_metadata']['name']: yaml.safe_load(
            each['topic_metadata']['offered_qos_profiles']
        )[0]['durability']
        for each in topics
    }
    assert durability['/tf_static'] == 1  # RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL
    assert durability['/tf'] == 2
