"""How long work tells where it is: to the command line, to a node, to a test."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.forecast import Plan


class Progress(Protocol):
    """A listener of long work."""

    def plan(self, stages: Plan) -> None:
        """Hear which stages are to come, with the time that each usually takes."""
        ...

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of so many steps (None: not known); this ends the stage before."""
        ...

    def advance(self, steps: int = 1) -> None:
        """Count finished steps of the present stage."""
        ...

    def note(self, text: str) -> None:
        """Say one line worth a user's attention."""
        ...

    def cloud(self, points: NDArray[np.float64], colors: NDArray[np.uint8]) -> None:
        """Show the points (N, 3) that a map has so far, with their colours (N, 3) RGB."""
        ...


class SilentProgress:
    """A listener that does not listen."""

    def plan(self, stages: Plan) -> None:
        """Ignore the plan."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Ignore the stage."""

    def advance(self, steps: int = 1) -> None:
        """Ignore the steps."""

    def note(self, text: str) -> None:
        """Ignore the line."""

    def cloud(self, points: NDArray[np.float64], colors: NDArray[np.uint8]) -> None:
        """Ignore the points."""
