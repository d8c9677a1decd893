"""Learn from poses whose truth is known how far off poses are, and what right ones look like."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.geometry.absolute_pose import RefinedPose
from hloc_localizer.geometry.covariance import pose_error
from hloc_localizer.localization import Localizer, LocalizerOptions, Reason
from hloc_localizer.localization.acceptance import judge
from hloc_localizer.localization.hypothesis import Hypothesis
from hloc_localizer.localization.inflation import MIN_FRAMES, learn_inflation, narrowed, nees_under
from hloc_localizer.localization.options import CovarianceOptions
from hloc_localizer.localization.success import features_of, learn_success
from hloc_localizer.maps.calibration import Calibration
from hloc_localizer.maps.subset import without_images
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources.frame import Frame, Source

Array = NDArray[np.float64]


@dataclass
class CalibrationSamples:
    """Poses with their true errors."""

    errors: list[Array] = field(default_factory=list)
    """(6,) of accepted poses."""
    covariances: list[Array] = field(default_factory=list)
    """(6, 6) of their solutions, before anything was added."""
    features: list[Array] = field(default_factory=list)
    """What speaks for every pose that was found, accepted or not."""
    right: list[bool] = field(default_factory=list)

    def add(self, tried: Sequence[Hypothesis], truth: Array) -> None:
        """Note the errors of poses, accepted or not, that were found for one image."""
        for hypothesis in tried:
            error = pose_error(hypothesis.pose.map_from_camera, truth)
            self.features.append(features_of(hypothesis.evidence))
            self.right.append(is_right(error))

    def add_published(self, pose: RefinedPose, options: CovarianceOptions, truth: Array) -> None:
        """Note the error of a pose that would be published, unless it is a false fix."""
        error = pose_error(pose.map_from_camera, truth)
        if is_right(error):
            self.errors.append(error)
            self.covariances.append(narrowed(pose.covariance, options))


def is_right(error: Array) -> bool:
    """Tell whether a pose with this error would not count as a false fix."""
    far = np.linalg.norm(error[:3]) > FALSE_FIX_M
    turned = np.degrees(np.linalg.norm(error[3:])) > FALSE_FIX_DEG
    return not (far or turned)


def collect_samples(
    localizer: Localizer,
    source: Source,
    truth_of: Callable[[Frame], Array | None],
    progress: Progress | None = None,
) -> CalibrationSamples:
    """
    Localize all frames of a recording whose pose is known, each alone.

    Those that are images of the map are localized in the map without them and their neighbours.

    :param truth_of: the (4, 4) ``map_from_camera`` of a frame, or None.
    :raises InputError: when no frame has one.
    """
    progress = progress or SilentProgress()
    samples, seen = CalibrationSamples(), 0
    options = localizer.options
    curious = HeldOutLocalizers(Localizer(localizer.map, _curious(options)))
    cameras = source.cameras
    progress.stage('calibrate', len(source))
    for frame in source.frames():
        truth = truth_of(frame)
        if truth is not None:
            _, observation = curious.for_image(frame.name).observe(
                frame.image, cameras[frame.camera_name]
            )
            tried = observation.tried if observation else ()
            samples.add(tried, truth)
            best = _published(tried, options, localizer.least_visible_ratio)
            if best is not None:
                samples.add_published(best.pose, options.covariance, truth)
            seen += 1
        progress.advance()
    if not seen:
        raise InputError('no frame of the recording has a known pose; is the file of another one?')
    return samples


def _curious(options: LocalizerOptions) -> LocalizerOptions:
    """Return options that look at unlikely places too, for examples of wrong poses."""
    accept = dataclasses.replace(options.accept, min_distinct=_FEW, max_rival=0.05)
    retrieval = dataclasses.replace(options.retrieval, max_places=_PLACES)
    return dataclasses.replace(options, accept=accept, retrieval=retrieval)


_FEW, _PLACES = 5, 5


def _published(
    tried: Sequence[Hypothesis], options: LocalizerOptions, least_visible_ratio: float
) -> Hypothesis | None:
    """Return the pose that would be published under the options of use."""
    accepted = [
        one
        for one in tried
        if judge(one.evidence, options.accept, least_visible_ratio) is Reason.NONE
    ]
    return max(accepted, key=lambda one: one.evidence.distinct, default=None)


_BLOCK = 5
_FOLDS = 4


class HeldOutLocalizers:
    """
    Localizers of a map without an image that is to be localized, and without its neighbours.

    Of every twenty images of the map, in the order they were taken, five in a row are left out.
    """

    def __init__(self, localizer: Localizer) -> None:
        self._localizer = localizer
        names = localizer.map.runtime.image_names
        self._fold = {name: index // _BLOCK % _FOLDS for index, name in enumerate(names)}
        self._folds: dict[int, Localizer] = {}

    def for_image(self, name: str) -> Localizer:
        """Return the localizer for an image, by its name: the given one unless it is in the map."""
        fold = self._fold.get(name)
        if fold is None:
            return self._localizer
        if fold not in self._folds:
            whole = self._localizer.map
            names = whole.runtime.image_names
            left_out = np.array([self._fold[image] == fold for image in names], np.bool_)
            rest = without_images(whole.runtime, left_out)
            self._folds[fold] = Localizer(
                dataclasses.replace(whole, runtime=rest), self._localizer.options
            )
        return self._folds[fold]


def recorded_pose(source: Source) -> Callable[[Frame], Array | None]:
    """
    Return what tells the poses that a recording itself knows.

    :raises InputError: when it knows none.
    """
    if source.pose_problem:
        raise InputError(f'{source.pose_problem}; or give --ground-truth FILE.tum')
    return lambda frame: frame.map_from_camera


def learn_calibration(samples: CalibrationSamples, source: str) -> Calibration:
    """
    Choose the inflation under which the errors are likeliest, and fit the success model.

    :param source: the name of the recording, for the map's manifest.
    :raises HlocLocalizerError: when too few frames were localized.
    """
    count = len(samples.errors)
    if count < MIN_FRAMES:
        raise HlocLocalizerError(
            f'{count} images were localized, and {MIN_FRAMES} are needed to calibrate; take a '
            'longer recording of mapped places'
        )
    errors, covariances = np.array(samples.errors), np.array(samples.covariances)
    options = learn_inflation(errors, covariances)
    return Calibration(
        sigma_scale=options.sigma_scale,
        position_floor_m=options.position_floor_m,
        rotation_floor_deg=options.rotation_floor_deg,
        frames=count,
        mean_nees=float(np.mean(nees_under(options, errors, covariances))),
        source=source,
        success=learn_success(np.array(samples.features), np.array(samples.right)),
    )
