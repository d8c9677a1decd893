"""Messages of ROS 1 and ROS 2 bags by topic, with errors in one line."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag1 import ReaderError as Reader1Error
from rosbags.rosbag2 import Reader as Reader2
from rosbags.rosbag2 import ReaderError as Reader2Error
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from hloc_localizer.errors import InputError
from hloc_localizer.sources.cut_mcap import CutMcap

STORAGE_SUFFIXES = ('.bag', '.mcap', '.db3')

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
TF = ('tf2_msgs/msg/TFMessage', 'tf/msg/tfMessage')
IMU = 'sensor_msgs/msg/Imu'
ODOMETRY = 'nav_msgs/msg/Odometry'
POSE = 'geometry_msgs/msg/PoseStamped'
POSE_COVARIANCE = 'geometry_msgs/msg/PoseWithCovarianceStamped'


@dataclass(frozen=True)
class Topic:
    """One topic of a bag."""

    name: str
    type: str
    count: int


def is_bag(path: Path) -> bool:
    """Tell whether a path looks like a bag: its suffix, or what lies in the folder."""
    return path.suffix in STORAGE_SUFFIXES if path.is_file() else bool(_storage_files(path))


class BagReader:
    """
    An open bag: a ROS 1 ``.bag``, a rosbag2 folder, or one ``.mcap`` or ``.db3`` file.

    Messages are decoded with the definitions of the standard types, which are the same in every
    ROS 2 (and every ROS 1) distribution, not with those inside the bag: a broken definition of
    some other topic then does no harm, and opening takes no time.
    """

    def __init__(self, path: Path) -> None:
        """
        Open a bag.

        :raises InputError: when it is not a bag, damaged or empty.
        """
        self.path = path
        self._stack = contextlib.ExitStack()
        with self._errors():
            paths = _paths_of(path)
            self.cut = any(isinstance(each, CutMcap) for each in paths)
            self._ros1 = paths[0].suffix == '.bag'
            self._readers: list[Any] = [
                self._stack.enter_context(Reader1(each) if self._ros1 else Reader2(each))
                for each in paths
            ]
            self._typestore = _typestore(self._ros1)
        self.topics = self._topics()
        if not any(topic.count for topic in self.topics.values()):
            self.close()
            state = ' before it is cut off' if self.cut else ''
            raise InputError(f'{path}: the bag holds no messages{state}; record it again')

    def _topics(self) -> dict[str, Topic]:
        topics: dict[str, Topic] = {}
        for reader in self._readers:
            for connection in reader.connections:
                known = topics.get(connection.topic)
                count = connection.msgcount + (known.count if known else 0)
                topics[connection.topic] = Topic(connection.topic, connection.msgtype, count)
        return dict(sorted(topics.items()))

    def topics_of(self, *types: str) -> list[Topic]:
        """Return the topics of some message types that hold messages, by name."""
        return [topic for topic in self.topics.values() if topic.type in types and topic.count]

    def require(self, name: str, types: Sequence[str], option: str) -> Topic:
        """
        Return a topic, checked to hold messages of one of some types.

        :param option: the option that names it, for the message.
        :raises InputError: saying which topics of these types there are.
        """
        topic = self.topics.get(name)
        if topic is not None and topic.type in types and topic.count:
            return topic
        if topic is None:
            problem = 'is not in the bag'
        elif topic.type not in types:
            problem = f'is of type {topic.type}'
        else:
            problem = 'holds no messages'
        short = ' or '.join(each.split('/')[-1] for each in types)
        present = ', '.join(each.name for each in self.topics_of(*types)) or 'none'
        raise InputError(
            f"{self.path}: topic '{name}' {problem}; topics of type {short}: {present} "
            f'(--set source.{option}=TOPIC)'
        )

    @property
    def start_ns(self) -> int:
        """Receive time of the first message."""
        return min(int(reader.start_time) for reader in self._readers if reader.message_count)

    def messages(
        self, topics: Sequence[str], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[str, int, Any]]:
        """
        Yield (topic, receive time, message) in the order of receive time.

        :param start_ns: first receive time.
        :param stop_ns: first receive time that is not read.
        :raises InputError: when the bag is damaged, naming the message.
        """
        decode = self._typestore.deserialize_ros1 if self._ros1 else self._typestore.deserialize_cdr
        streams = []
        for reader in self._readers:
            chosen = [each for each in reader.connections if each.topic in topics]
            if chosen:
                streams.append(reader.messages(chosen, start_ns, stop_ns))
        with self._errors():
            merged = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=_receive_time)
            for connection, received_ns, data in merged:
                yield connection.topic, received_ns, decode(data, self._type(connection.msgtype))

    @staticmethod
    def _type(name: str) -> str:
        return TF[0] if name in TF else name

    def first(self, topic: str) -> Any:
        """
        Return the first message of a topic.

        :raises InputError: when there is none.
        """
        for _, _, message in self.messages([topic]):
            return message
        raise InputError(f"{self.path}: topic '{topic}' holds no message")

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn whatever damaged data makes the decoders raise into one line."""
        try:
            yield
        except (InputError, GeneratorExit):
            raise
        except FileNotFoundError as error:
            raise InputError(f'{self.path}: the bag is incomplete: {_line(error)}') from error
        except PermissionError as error:
            raise InputError(f'{self.path}: cannot be read: {error.strerror}') from error
        except (Reader1Error, Reader2Error) as error:
            raise InputError(
                f'{self.path}: the bag is damaged or incomplete: {_line(error)}; '
                f'{_remedy(self.path)}'
            ) from error
        except Exception as error:  # lengths are checked only in part: even a MemoryError comes
            raise InputError(
                f'{self.path}: the bag is damaged or truncated ({type(error).__name__}: '
                f'{_line(error)}); {_remedy(self.path)}'
            ) from error


def _typestore(ros1: bool) -> Any:
    store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    if TF[0] not in store.types:  # rosbags leaves tf2_msgs out of ROS 1
        definition = 'geometry_msgs/TransformStamped[] transforms'
        store.register(get_types_from_msg(definition, TF[0]))
    return store


def _receive_time(item: tuple[Any, int, Any]) -> int:
    return item[1]


def _line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200].rstrip('.') or 'no detail'


def _remedy(path: Path) -> str:
    if path.suffix == '.bag':
        return 'repair it with: rosbag reindex'
    mcap = path.suffix == '.mcap' or any(each.suffix == '.mcap' for each in _storage_files(path))
    return f'repair it with: {"mcap recover" if mcap else "ros2 bag reindex"}'


def _storage_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    if (path / 'metadata.yaml').is_file():
        return [path / 'metadata.yaml']
    return sorted(each for each in path.iterdir() if each.suffix in STORAGE_SUFFIXES[1:])


def _paths_of(path: Path) -> list[Any]:
    """Return what the readers open: the path, or its files where it is a folder left unclosed."""
    files = [path] if path.is_file() else sorted(path.glob('*.mcap'))
    for each in files:
        if not each.stat().st_size:
            raise InputError(f'{each}: the file is empty; record the bag again')
    if any(CutMcap.is_cut(each) for each in files):
        return [CutMcap(each) if CutMcap.is_cut(each) else each for each in files]
    if path.is_dir() and not (path / 'metadata.yaml').is_file():
        return list(_storage_files(path))
    return [path]
