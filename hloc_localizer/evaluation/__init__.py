"""Metrics, calibration of the covariance, plots."""

from hloc_localizer.evaluation.metrics import EvaluatedFrame, Evaluation
from hloc_localizer.evaluation.nees import pose_error, pose_nees
from hloc_localizer.evaluation.references import References

__all__ = ['EvaluatedFrame', 'Evaluation', 'References', 'pose_error', 'pose_nees']
