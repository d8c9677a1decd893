"""What came of matching a query with some candidates: the best pose, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hloc_localizer.localization.ambiguity import far_apart, is_rival
from hloc_localizer.localization.hypothesis import Hypothesis
from hloc_localizer.localization.options import AcceptanceOptions
from hloc_localizer.localization.point_matching import PointMatches
from hloc_localizer.localization.result import Alternative, Reason


@dataclass(frozen=True)
class Attempt:
    """What came of trying some candidates."""

    hypothesis: Hypothesis | None
    reason: Reason
    """What is against it; NONE when it may be published."""
    matches: int
    """Most matches to one place."""
    matched: Sequence[PointMatches]
    """The matches to each place."""
    tried: tuple[Hypothesis, ...] = ()
    """All poses that were found."""
    rivals: tuple[Hypothesis, ...] = ()
    """Accepted poses elsewhere that are as well founded."""

    def better(self, other: Attempt) -> Attempt:
        """Return the one that is accepted, else the one with more evidence."""
        return max(self, other, key=_worth)

    def alternatives(self) -> tuple[Alternative, ...]:
        """Return all poses that the place allows when it is ambiguous, the likeliest first."""
        if self.hypothesis is None or not self.rivals:
            return ()
        return tuple(
            Alternative(one.pose.map_from_camera, one.pose.covariance, one.evidence.distinct)
            for one in (self.hypothesis, *self.rivals)
        )


def _worth(attempt: Attempt) -> tuple[bool, int, int]:
    distinct = attempt.hypothesis.evidence.distinct if attempt.hypothesis else -1
    return attempt.reason is Reason.NONE, distinct, attempt.matches


def unless_ambiguous(
    attempt: Attempt, accepted: Sequence[Hypothesis], options: AcceptanceOptions
) -> Attempt:
    """Refuse the best pose when another accepted one, elsewhere, is as well founded."""
    best = attempt.hypothesis
    rivals = tuple(
        other
        for other in accepted
        if best is not None
        and other is not best
        and far_apart(best.pose, other.pose)
        and is_rival(
            [best.evidence.distinct],
            [other.evidence.distinct],
            max_rival=options.max_rival,
            min_distinct=options.min_distinct,
        )
    )
    if not rivals:
        return attempt
    return replace(attempt, reason=Reason.AMBIGUOUS, rivals=rivals)
