"""The results of images that are refused before or after the localizer looks at them."""

from __future__ import annotations

from dataclasses import replace

from hloc_localizer.localization.result import Reason
from hloc_localizer.localization.tracking import State
from hloc_localizer.ros.frame_result import FrameResult


def out_of_time(stamp_ns: int, behind_ns: int, camera: str = '') -> FrameResult:
    """
    Refuse an image that has no stamp, or one far from those before.

    :param behind_ns: how much older it is than the newest one; negative: how much newer.
    :param camera: which one, where there are several.
    """
    if stamp_ns <= 0:
        detail = f'this image{_of(camera)} has no stamp: let the driver say when it was taken'
        return _refused(stamp_ns, Reason.NO_STAMP, detail)
    relation = 'older' if behind_ns > 0 else 'newer'
    detail = f'this image{_of(camera)} is {abs(behind_ns) * 1e-9:.1f} s {relation} than the last'
    return _refused(stamp_ns, Reason.STALE, f'{detail}; several in a row are a jump of time')


def stale(stamp_ns: int, last_ns: int, camera: str = '') -> FrameResult:
    """Refuse an image that came twice, or after a newer one: its pose would go back in time."""
    behind_ms = (last_ns - stamp_ns) * 1e-6
    what = f'is {behind_ms:.0f} ms older than the last one' if behind_ms else 'came before'
    return _refused(stamp_ns, Reason.STALE, f'this image{_of(camera)} {what}')


def outlived(stamp_ns: int) -> FrameResult:
    """Refuse an image that was in work when time jumped back, or another clock was followed."""
    detail = 'time jumped back, or use_sim_time was changed, while this image was localized'
    return _refused(stamp_ns, Reason.STALE, detail)


def in_doubt(result: FrameResult, doubt: str) -> FrameResult:
    """
    Take the pose away from a result when another map may be the right one.

    :param doubt: why; empty leaves the result as it is.
    """
    if not doubt:
        return result
    return replace(
        result,
        reason=Reason.AMBIGUOUS,
        detail=f'{Reason.AMBIGUOUS.value}: {doubt}',
        map_from_base=None,
        covariance=None,
        bridged=False,
        state=None if result.state is None else State.UNINITIALIZED,
    )


def with_doubt(result: FrameResult, doubt: str) -> FrameResult:
    """
    Say what may be wrong with the calibration, also in the line that tells why there is no pose.

    :param doubt: empty leaves the result as it is.
    """
    if not doubt:
        return result
    detail = f'{result.detail}; {doubt}' if result.detail else ''
    return replace(result, calibration_doubt=doubt, detail=detail)


def internal_error(stamp_ns: int, error: Exception) -> FrameResult:
    """Refuse an image because of a fault of this software."""
    detail = f'{type(error).__name__}: {error}'
    return _refused(stamp_ns, Reason.INTERNAL_ERROR, detail)


def _refused(stamp_ns: int, reason: Reason, detail: str) -> FrameResult:
    return FrameResult(stamp_ns, reason=reason, detail=f'{reason.value}: {detail}')


def _of(camera: str) -> str:
    return f' of {camera}' if camera else ''
