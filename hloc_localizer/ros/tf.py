"""The TF of this machine: tf2_ros where it is installed, else our own stand-in of its interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hloc_localizer.ros import _tf_stand_in as _tf
else:
    try:
        import tf2_ros as _tf
    except ModuleNotFoundError as error:
        if error.name != 'tf2_ros':  # it is installed, but something that it needs is not
            raise
        from hloc_localizer.ros import _tf_stand_in as _tf

Buffer = _tf.Buffer
TransformListener = _tf.TransformListener
TransformBroadcaster = _tf.TransformBroadcaster
StaticTransformBroadcaster = _tf.StaticTransformBroadcaster

TransformException = _tf.TransformException
LookupException = _tf.LookupException
ConnectivityException = _tf.ConnectivityException
ExtrapolationException = _tf.ExtrapolationException

IMPLEMENTATION: str = _tf.__name__
"""``tf2_ros`` or the name of the stand-in, for a line in the log."""

__all__ = [
    'IMPLEMENTATION',
    'Buffer',
    'ConnectivityException',
    'ExtrapolationException',
    'LookupException',
    'StaticTransformBroadcaster',
    'TransformBroadcaster',
    'TransformException',
    'TransformListener',
]
