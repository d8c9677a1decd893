"""The pose of a stream of images: prediction, guided search, filter and states."""

from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.localization.tracking.pose_tracker import Fix, PoseTracker, State, Verdict
from hloc_localizer.localization.tracking.recorded_search import RecordedSearch
from hloc_localizer.localization.tracking.tracking_localizer import TrackedFrame, TrackingLocalizer
from hloc_localizer.localization.tracking.whole_map_search import Found, WholeMapSearch

__all__ = [
    'Fix',
    'Found',
    'MountedImage',
    'PoseEstimate',
    'PoseTracker',
    'RecordedSearch',
    'State',
    'TrackedFrame',
    'TrackingLocalizer',
    'TrackingOptions',
    'Verdict',
    'WholeMapSearch',
]
