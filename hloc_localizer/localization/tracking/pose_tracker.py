"""The tracker: from poses of single images and odometry to one pose, its certainty and a state."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.tracking.estimate import (
    PoseEstimate,
    is_plausible,
    motion_noise,
    unknown_motion_noise,
)
from hloc_localizer.localization.tracking.options import TrackingOptions

Array = NDArray[np.float64]


class State(enum.Enum):
    """How well the pose is known; the rules are in ``docs/tracking.md``."""

    UNINITIALIZED = 'uninitialized'
    LOCALIZED = 'localized'
    DEGRADED = 'degraded'
    LOST = 'lost'

    @property
    def has_pose(self) -> bool:
        """Whether a pose may be published."""
        return self in (State.LOCALIZED, State.DEGRADED)


class Verdict(enum.Enum):
    """What became of the pose of one image."""

    ENTERED = 'entered'
    DISAGREES = 'disagrees'
    WAITS = 'waits'
    """There is nothing to compare it with yet: another one must agree with it."""
    JUMPED = 'jumped'
    """Several in a row agreed with each other and overruled the prediction."""


@dataclass(frozen=True)
class Fix:
    """The pose that one image gave."""

    estimate: PoseEstimate
    searched_everywhere: bool
    """Whether the prediction had no part in it: only then can it overrule the prediction."""
    strong: bool = False
    """Whether it may be the first one without a second that agrees."""
    witnesses: int = 1
    """How many images, taken apart from each other, it rests on as firmly as on one."""
    since_ns: int | None = None
    """Stamp of the oldest of them, where there are several: none may bear witness twice."""
    by_network: bool = False
    """Whether a network matched: to begin with, it must be more certain."""


@dataclass(frozen=True)
class _Rival:
    """Poses in a row that agree with each other and not with the prediction."""

    estimate: PoseEstimate
    count: int
    counted: Array
    """(4, 4) where the last of them that counts was taken."""
    counted_ns: int
    """When."""
    began_ns: int
    """Stamp of the first of them, ..."""
    images: int = 1
    """... and how many there are, also of one view."""


class PoseTracker:
    """
    Predicts with odometry, lets agreeing poses enter, and says how well the pose is known.

    Each image is one :meth:`advance` and then one :meth:`correct`. Nothing here knows of images,
    maps or ROS.
    """

    def __init__(self, options: TrackingOptions | None = None) -> None:
        """Begin without a pose."""
        self.options = options or TrackingOptions()
        self.options.check()
        self.reset()

    def reset(self) -> None:
        """Forget everything: time jumped back, or another map is used."""
        self._state = State.UNINITIALIZED
        self._estimate: PoseEstimate | None = None
        self._proven = False
        self._rival: _Rival | None = None
        self._stamp_ns: int | None = None
        self._entered_ns: int | None = None
        self._supposed_ns: int | None = None
        self._odom_from_body: Array | None = None
        self._unaided_s = 0.0

    @property
    def state(self) -> State:
        """How well the pose is known after the last image."""
        return self._state

    @property
    def stamp_ns(self) -> int | None:
        """Stamp of the last image."""
        return self._stamp_ns

    @property
    def published(self) -> PoseEstimate | None:
        """
        The pose at the last image; None unless the state has one.

        While several poses of the whole map in a row speak against it, they may be right.
        """
        if self._estimate is None or not self._state.has_pose:
            return None
        if self._rival is None or self._rival.images < _WITNESSES:
            return self._estimate
        return self._estimate.covering(self._rival.estimate)

    @property
    def prediction(self) -> PoseEstimate | None:
        """Where to look: like :attr:`published`, but also when lost, or given by a person."""
        return self._estimate

    @property
    def proven(self) -> bool:
        """Whether the prediction began with a pose of an image, not with a person's word."""
        return self._proven

    @property
    def doubted(self) -> bool:
        """Whether the last poses of the whole map spoke against the prediction."""
        return self._rival is not None

    def doubt(self) -> None:
        """
        Publish nothing until a pose agrees: what the estimate was made with has become doubtful.

        It still tells where to look, and several poses in a row overrule it as they do any other.
        """
        if self._state.has_pose:
            self._state = State.LOST

    def suppose(self, estimate: PoseEstimate) -> None:
        """
        Take a person's word for the pose at the last image (``initialpose``).

        It replaces the estimate and is not published: only a pose that agrees makes it one. After
        ``supposed_for_s`` it is forgotten.
        """
        self._supposed_ns = self._stamp_ns
        self._estimate = estimate
        self._proven = False
        self._rival = None
        self._unaided_s = 0.0
        self._state = State.UNINITIALIZED

    def advance(self, stamp_ns: int, odom_from_body: Array | None = None) -> bool:
        """
        Go on to the next image.

        :param stamp_ns: when it was taken.
        :param odom_from_body: (4, 4) pose of the body in the odometry frame at that time; None
            without odometry.
        :returns: False, and nothing changes, when it is older than the last one. Images of one
            stamp are those of several cameras.
        """
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            return False
        if self._stamp_ns is not None and stamp_ns > self._stamp_ns:
            self._move((stamp_ns - self._stamp_ns) * 1e-9, odom_from_body)
        self._stamp_ns = stamp_ns
        self._odom_from_body = odom_from_body
        self._forget_what_became_too_uncertain()
        return True

    def correct(self, fix: Fix | None) -> Verdict | None:
        """
        Take what the image gave.

        :param fix: None when it gave no pose.
        """
        if fix is None:
            self._degrade()
            return None
        if self._estimate is not None and self._agrees(self._estimate, fix):
            self._enter(self._estimate.corrected(self._measured(fix)))
            return Verdict.ENTERED
        return self._consider_rival(fix)

    def accepts(self, fix: Fix) -> bool:
        """Tell whether a pose would enter at once, without others that agree with it."""
        if self._estimate is not None:
            return self._agrees(self._estimate, fix)
        return fix.strong and self._certain_enough(self._measured(fix), fix)

    def _move(self, seconds: float, odom_from_body: Array | None) -> None:
        """Move the estimate and its rival as the odometry says, or let them become uncertain."""
        motion, drift = np.eye(4), self.options.drift
        if odom_from_body is not None and self._odom_from_body is not None:
            motion = transforms.invert(self._odom_from_body) @ odom_from_body
            aided = is_plausible(motion, seconds, drift)
        else:
            aided = False
        if aided:
            noise = motion_noise(motion, seconds, drift)
        else:
            motion = np.eye(4)
            noise = unknown_motion_noise(self._unaided_s, self._unaided_s + seconds, drift)
            self._unaided_s += seconds
        if self._estimate is not None:
            self._estimate = self._estimate.moved(motion, noise)
        if self._rival is not None:
            moved = self._rival.estimate.moved(motion, noise)
            self._rival = replace(self._rival, estimate=moved)

    def _forget_what_became_too_uncertain(self) -> None:
        if self._rival is not None and self._uncertain(self._rival.estimate):
            self._rival = None
        if self._word_is_old():
            self._estimate = None
        if self._estimate is None or not self._uncertain(self._estimate):
            return
        if self._state.has_pose:
            self._state = State.LOST
        if self._uncertain(self._estimate, factor=_USELESS):
            self._estimate = None
            self._proven = False

    def _word_is_old(self) -> bool:
        if self._proven or self._supposed_ns is None or self._stamp_ns is None:
            return False
        return self._stamp_ns - self._supposed_ns > self.options.supposed_for_s * 1e9

    def _uncertain(self, estimate: PoseEstimate, factor: float = 1.0) -> bool:
        known = (
            estimate.position_sigma_m <= factor * self.options.max_position_sigma_m
            and estimate.rotation_sigma_deg <= factor * self.options.max_rotation_sigma_deg
        )
        return not known  # a NaN is not known either

    def _agrees(self, estimate: PoseEstimate, fix: Fix) -> bool:
        return estimate.squared_distance(fix.estimate) <= self.options.gate

    def _measured(self, fix: Fix) -> PoseEstimate:
        covariance = fix.estimate.covariance * self.options.shared_errors
        return PoseEstimate(fix.estimate.map_from_body, covariance)

    def _enter(self, estimate: PoseEstimate) -> None:
        self._estimate = estimate
        self._proven = True
        self._rival = None
        self._unaided_s = 0.0
        self._entered_ns = self._stamp_ns
        self._state = State.LOCALIZED

    def _degrade(self) -> None:
        if self._state is State.LOCALIZED and self._entered_ns != self._stamp_ns:
            self._state = State.DEGRADED

    def _consider_rival(self, fix: Fix) -> Verdict:
        """Let a pose that does not fit wait for others that agree with it."""
        self._degrade()
        if not fix.searched_everywhere:
            return Verdict.DISAGREES
        rival = self._rival = self._joined(self._rival, fix)
        if rival.count >= self._needed(fix) and self._certain_enough(rival.estimate, fix):
            jumped = self._proven
            self._enter(rival.estimate)
            return Verdict.JUMPED if jumped else Verdict.ENTERED
        if self._state.has_pose and self._is_contradicted_by(rival):
            self._state = State.LOST
        return Verdict.DISAGREES if self._proven else Verdict.WAITS

    def _is_contradicted_by(self, rival: _Rival) -> bool:
        """Tell whether poses of the whole map have long put the body elsewhere, moved or not."""
        assert self._estimate is not None
        assert self._stamp_ns is not None
        ours, theirs = self._estimate.map_from_body, rival.estimate.map_from_body
        metres, radians = transforms.pose_distance(ours, theirs)
        options = self.options
        far = metres > options.max_position_sigma_m
        elsewhere = far or np.degrees(radians) > options.max_rotation_sigma_deg
        long = self._stamp_ns - rival.began_ns >= _CONTRADICTED_NS
        return bool(elsewhere and long and rival.images >= options.confirmations)

    def _joined(self, rival: _Rival | None, fix: Fix) -> _Rival:
        """Count a pose with those before it, if it agrees and shows something new."""
        pose, stamp_ns = fix.estimate.map_from_body, self._stamp_ns
        assert stamp_ns is not None
        alone = _Rival(self._measured(fix), fix.witnesses, pose, stamp_ns, stamp_ns)
        if rival is None or not self._agrees(rival.estimate, fix):
            return alone
        rival = replace(rival, images=rival.images + 1)
        alone = replace(alone, began_ns=rival.began_ns, images=rival.images)
        if fix.since_ns is not None and fix.since_ns <= rival.counted_ns:
            # It holds what was counted before, and more.
            return replace(alone, count=max(rival.count, fix.witnesses))
        metres, radians = transforms.pose_distance(rival.counted, pose)
        options = self.options
        far = metres >= options.confirm_after_m
        if not (far or np.degrees(radians) >= options.confirm_after_deg):
            return alone if fix.witnesses > rival.count else rival
        estimate = rival.estimate.corrected(self._measured(fix))
        return replace(alone, estimate=estimate, count=rival.count + fix.witnesses)

    def _certain_enough(self, first: PoseEstimate, fix: Fix) -> bool:
        wider = np.sqrt(self.options.network_errors) if fix.by_network else 1.0
        return bool(
            wider * first.position_sigma_m <= self.options.first_position_sigma_m
            and wider * first.rotation_sigma_deg <= self.options.first_rotation_sigma_deg
        )

    def _needed(self, fix: Fix) -> int:
        """Return how many poses in a row must agree before they count."""
        if self._proven:
            return self.options.confirmations
        if fix.strong and self._estimate is None:
            return 1
        return self.options.first_confirmations


_CONTRADICTED_NS = 1_000_000_000
"""So long may poses that agree with each other put the body elsewhere than where it is published.
They may all be of one view, which is no reason to believe them, but reason enough to be silent."""

_WITNESSES = 2
"""So many of them widen what is published meanwhile: a single one may be just wrong."""

_USELESS = 8.0
"""An estimate so many times less certain than a published one helps no search."""
