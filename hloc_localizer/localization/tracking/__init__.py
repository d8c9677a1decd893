"""The pose of a stream of images: prediction, guided search, filter and states."""

from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.moment_search import MountedImage
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.localization.tracking.pose_tracker import Fix, PoseTracker, State, Verdict
from hloc_localizer.localization.tracking.tracking_localizer import TrackedFrame, TrackingLocalizer

__all__ = [
    'Fix',
    'MountedImage',
    'PoseEstimate',
    'PoseTracker',
    'State',
    'TrackedFrame',
    'TrackingLocalizer',
    'TrackingOptions',
    'Verdict',
]
