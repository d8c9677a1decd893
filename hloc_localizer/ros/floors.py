"""The maps that are loaded: the one that is localized in, and the one that images speak for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hloc_localizer.localization.map_choice import MapChoice
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.map_loading import LoadedMap


class Floors:
    """
    One or several warm maps, of which one is the present one.

    Other maps make another object of this: what the images of the old one led to is forgotten with
    it, even if they are still in work.
    """

    def __init__(
        self,
        loaded: Sequence[LoadedMap],
        *,
        found: Callable[[], None],
        before: Floors | None = None,
    ) -> None:
        """
        Begin in the first map.

        :param before: the same maps with other options, whose present map stays the present one.
        :param found: called in the localizing thread when images speak for another map than the
            present one; a call of :meth:`change_to` then makes it the present one.
        """
        self.loaded = tuple(loaded)
        self._found = found
        self._present: int = 0 if before is None else before._present
        self.choose_anew()
        if before is not None and before._choice.settled:
            self.settle()

    @property
    def present(self) -> LoadedMap:
        """The map that is localized in."""
        return self.loaded[self._present]

    def choose_anew(self) -> None:
        """Begin in the present map as in one that nothing speaks for yet."""
        self._better: int | None = None
        self._choice: MapChoice = MapChoice([one.localizer for one in self.loaded], self._present)

    def settle(self) -> None:
        """Believe in the present map: a person has said where in it the robot is."""
        self._choice.settle()

    def look(self, result: FrameResult) -> str:
        """
        Ask all maps about images, in the localizing thread.

        :returns: why the pose is not to be believed; empty when it is.
        """
        if result.localization is None:
            return ''
        images = [view.mounted for view in result.views]
        verdict = self._choice.look(images, result.localization, has_pose=result.localized)
        if verdict.change_to is not None:
            self._better = verdict.change_to
            self._found()
        return verdict.doubt

    @property
    def found_another(self) -> int | None:
        """The number of the map that images speak for, if it is not the present one."""
        return None if self._better == self._present else self._better

    def change_to(self, number: int) -> None:
        """Make another map the present one, once nothing looks any longer."""
        self._present = number
        self.choose_anew()

    def warm_up(self) -> None:
        """Make ready again what was closed."""
        for one in self.loaded:
            if one.localizer.closed:
                one.localizer.warm_up()

    def close(self) -> None:
        """Give the memory of devices back; the maps stay loaded."""
        for one in self.loaded:
            one.localizer.close()
