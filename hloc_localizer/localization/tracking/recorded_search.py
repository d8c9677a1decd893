"""Searches for a recorded moment of a stream again, as the tracker did then."""

from __future__ import annotations

from hloc_localizer.localization.bundle import Bundle, RecordedMoment
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.moment_search import MomentSearch
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.localization.tracking.recent_moments import RecentMoments
from hloc_localizer.localization.tracking.whole_map_search import Found, nothing


class RecordedSearch:
    """Needs no stream: what the tracker knew at each moment is in the bundle."""

    def __init__(self, localizer: Localizer, options: TrackingOptions | None = None) -> None:
        """Prepare for the map of a localizer."""
        self._localizer = localizer
        self._options = options or TrackingOptions()
        self._search = MomentSearch(localizer, self._options.guided)
        self._quick_front_end = localizer.quick_front_end(self._options.max_image_size)

    def localize(self, bundle: Bundle) -> Found:
        """
        Find the moment, together with those before it where it was found so.

        What is seen again from nearly the same pose is not sought anew, so that a solution depends
        a little on those before it: they are made again, too. Moments that had already left when
        the bundle was written are lacking then, which may move the pose by millimetres.
        """
        with self._localizer.threads:
            if not bundle.earlier:
                return self._find(bundle.moment)
            recent = RecentMoments(self._localizer, self._options)
            for moment in bundle.moments:
                found = self._find(moment)
                recent.add(moment, found)
                together = recent.solve(found)
            return together or found

    def _find(self, moment: RecordedMoment) -> Found:
        context = moment.search
        quick = self._quick_front_end if context is not None and context.quick else None
        views, failed = self._search.prepare(moment.images, quick)
        if not views:
            return nothing(failed[0])
        if context is None:
            return self._search.everywhere(views, moment.prior)
        if moment.prior is None or context.covariance is None:
            return self._search.everywhere(views)
        if context.everywhere:
            return self._search.everywhere(views, moment.prior)
        return self._search.near(views, PoseEstimate(moment.prior, context.covariance))
