"""A TF buffer without ROS: transforms by link and time, looked up between any two frames."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]
_SIZE = 16
"""Values of one stored matrix."""


class TfError(InputError):
    """A transform cannot be had; the message names the link."""


class UnknownFrameError(TfError):
    """No transform ever named the frame."""


class DisconnectedError(TfError):
    """Both frames are known, but no chain of links joins them."""


class ExtrapolationError(TfError):
    """
    A link is known, but not at the stamp.

    :param link: (parent, child).
    :param by_ns: nanoseconds from the stamp to the nearest known transform; negative when the
        link begins later than the stamp.
    """

    def __init__(self, message: str, *, link: tuple[str, str], by_ns: int) -> None:
        super().__init__(message)
        self.link = link
        self.by_ns = by_ns


class GapError(ExtrapolationError):
    """The stamp lies inside a link, in an interval too long to interpolate across."""


@dataclass
class _Link:
    """The history of one child frame, in compact arrays sorted by stamp."""

    static: bool
    stamps: array[int] = field(default_factory=lambda: array('q'))
    parents: array[int] = field(default_factory=lambda: array('l'))
    values: array[float] = field(default_factory=lambda: array('d'))

    def put(self, stamp_ns: int, parent: int, matrix: Array) -> None:
        """Insert one transform; a later one of the same stamp replaces the earlier."""
        values = array('d', matrix.tobytes())
        at = len(self.stamps)
        if at and stamp_ns <= self.stamps[-1]:
            at = bisect_left(self.stamps, stamp_ns)
        if at < len(self.stamps) and self.stamps[at] == stamp_ns:
            self.parents[at] = parent
            self.values[at * _SIZE : (at + 1) * _SIZE] = values
            return
        self.stamps.insert(at, stamp_ns)
        self.parents.insert(at, parent)
        self.values[at * _SIZE : at * _SIZE] = values

    def forget_before(self, stamp_ns: int) -> None:
        """Drop what is older, but seldom: each time the half of the history is too old."""
        at = bisect_left(self.stamps, stamp_ns)
        if at > max(16, len(self.stamps) // 2):
            del self.stamps[:at], self.parents[:at], self.values[: at * _SIZE]

    def matrix(self, at: int) -> Array:
        return np.array(self.values[at * _SIZE : (at + 1) * _SIZE]).reshape(4, 4)

    def nearest_parent(self, stamp_ns: int | None) -> int:
        if self.static or stamp_ns is None:
            return self.parents[-1]
        at = min(bisect_left(self.stamps, stamp_ns), len(self.stamps) - 1)
        if self.stamps[at] > stamp_ns and at > 0:
            at -= 1
        return self.parents[at]


class TfTree:
    """
    Transforms between frames over time.

    As in tf2, every frame has one parent at a time, and static links hold for all stamps.
    Transforms may arrive late, twice, or with another parent than before. Not thread-safe.
    """

    def __init__(self, *, history_s: float | None = None, max_gap_s: float | None = None) -> None:
        """
        Make an empty tree.

        :param history_s: keep at least this much of each link before its newest transform, and
            at most twice as much; None keeps all.
        :param max_gap_s: longest interval that is interpolated across; None: any.
        """
        self._history_ns = None if history_s is None else round(history_s * 1e9)
        self._max_gap_ns = None if max_gap_s is None else round(max_gap_s * 1e9)
        self._links: dict[str, _Link] = {}
        self._index: dict[str, int] = {}
        self._names: list[str] = []

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        parent_from_child: Array,
        static: bool = False,
    ) -> None:
        """
        Remember a transform.

        :param parent_from_child: (4, 4) pose of the child frame in the parent frame, metres.
        :raises TfError: for an empty name, a frame that is its own parent, values not finite.
        """
        matrix = np.ascontiguousarray(parent_from_child, np.float64)
        if not parent or not child or parent == child:
            raise TfError(f"TF link '{parent}' -> '{child}': a frame needs another one as parent")
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise TfError(f"TF link '{parent}' -> '{child}': the transform is not finite")
        link = self._links.get(child)
        if link is None or link.static or static:
            link = self._links[child] = _Link(static=static)
        link.put(stamp_ns, self._number(parent), matrix)
        self._number(child)
        if self._history_ns is not None and not static:
            link.forget_before(link.stamps[-1] - self._history_ns)

    def _number(self, name: str) -> int:
        if name not in self._index:
            self._index[name] = len(self._names)
            self._names.append(name)
        return self._index[name]

    @property
    def frames(self) -> list[str]:
        """All frame names, sorted."""
        return sorted(self._names)

    def __contains__(self, frame: str) -> bool:
        """Tell whether any transform named the frame."""
        return frame in self._index

    def parent(self, child: str, stamp_ns: int | None = None) -> str | None:
        """Return a frame's parent at a stamp (None: the newest), None for a root."""
        link = self._links.get(child)
        return None if link is None else self._names[link.nearest_parent(stamp_ns)]

    def can_connect(self, target: str, source: str) -> bool:
        """Tell whether a chain of links joins two frames now, whatever their stamps."""
        try:
            self._chains(target, source, None)
        except TfError:
            return False
        return True

    def latest_stamp(self, target: str, source: str) -> int | None:
        """
        Return the newest stamp at which every link between the frames is known.

        :returns: nanoseconds; None when all links are static.
        :raises TfError: when the frames are unknown or disconnected.
        """
        up, down = self._chains(target, source, None)
        links = (self._links[child] for child in (*up, *down))
        return min((link.stamps[-1] for link in links if not link.static), default=None)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Array:
        """
        Return ``target_from_source`` (4, 4) at a stamp, interpolated on every link.

        :raises UnknownFrameError: when no transform names one of the frames.
        :raises DisconnectedError: when no chain of links joins them.
        :raises ExtrapolationError: when a link begins later, ends earlier, or has a long gap.
        """
        if target == source:
            return np.eye(4)
        up, down = self._chains(target, source, stamp_ns)
        common_from_source = np.eye(4)
        for child in up:
            common_from_source = self._sample(child, stamp_ns) @ common_from_source
        common_from_target = np.eye(4)
        for child in down:
            common_from_target = self._sample(child, stamp_ns) @ common_from_target
        if not down:
            return common_from_source
        return np.asarray(transforms.invert(common_from_target) @ common_from_source)

    def _chains(
        self, target: str, source: str, stamp_ns: int | None
    ) -> tuple[list[str], list[str]]:
        """Return the children of the links from source and from target up to where they meet."""
        for frame in (target, source):
            if frame not in self._index:
                raise UnknownFrameError(
                    f"TF has no frame '{frame}'; frames: {', '.join(self.frames) or 'none'}"
                )
        from_source = self._ancestors(source, stamp_ns)
        from_target = self._ancestors(target, stamp_ns)
        below_target = {frame: at for at, frame in enumerate(from_target)}
        for at, frame in enumerate(from_source):
            if frame in below_target:
                return from_source[:at], from_target[: below_target[frame]]
        raise DisconnectedError(
            f"TF does not connect '{target}' with '{source}': '{source}' hangs below "
            f"'{from_source[-1]}', '{target}' below '{from_target[-1]}', and no link joins "
            f'these two; record or publish {from_target[-1]} -> {from_source[-1]}'
        )

    def _ancestors(self, frame: str, stamp_ns: int | None) -> list[str]:
        chain = [frame]
        while (parent := self.parent(chain[-1], stamp_ns)) is not None:
            if parent in chain:
                loop = ' -> '.join([parent, *reversed(chain[chain.index(parent) :])])
                raise DisconnectedError(f'TF has a loop: {loop}; fix the publisher of these links')
            chain.append(parent)
        return chain

    def _sample(self, child: str, stamp_ns: int) -> Array:
        link = self._links[child]
        if link.static:
            return link.matrix(-1 + len(link.stamps))
        after = bisect_left(link.stamps, stamp_ns)
        if after < len(link.stamps) and link.stamps[after] == stamp_ns:
            return link.matrix(after)
        if after in (0, len(link.stamps)):
            raise self._outside(child, link, stamp_ns)
        begin, end = link.stamps[after - 1], link.stamps[after]
        if self._max_gap_ns is not None and end - begin > self._max_gap_ns:
            raise self._gap(child, link, stamp_ns, after)
        if link.parents[after - 1] != link.parents[after]:
            return link.matrix(after - 1)  # as tf2: the old parent holds until the new one
        fraction = (stamp_ns - begin) / (end - begin)
        return transforms.interpolate(link.matrix(after - 1), link.matrix(after), fraction)

    def _outside(self, child: str, link: _Link, stamp_ns: int) -> ExtrapolationError:
        early = stamp_ns < link.stamps[0]
        nearest = link.stamps[0] if early else link.stamps[-1]
        parent = self._names[link.parents[0 if early else -1]]
        seconds = abs(stamp_ns - nearest) / 1e9
        state = 'begins' if early else 'ends'
        when = 'after' if early else 'before'
        return ExtrapolationError(
            f'TF link {parent} -> {child} {state} {seconds:.3f} s {when} the stamp '
            f'{stamp_ns / 1e9:.3f}',
            link=(parent, child),
            by_ns=stamp_ns - nearest,
        )

    def _gap(self, child: str, link: _Link, stamp_ns: int, after: int) -> GapError:
        begin, end = link.stamps[after - 1], link.stamps[after]
        parent = self._names[link.parents[after - 1]]
        nearest = begin if stamp_ns - begin <= end - stamp_ns else end
        return GapError(
            f'TF link {parent} -> {child} has a gap of {(end - begin) / 1e9:.3f} s around the '
            f'stamp {stamp_ns / 1e9:.3f}',
            link=(parent, child),
            by_ns=stamp_ns - nearest,
        )
