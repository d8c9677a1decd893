"""Metrics, calibration of the covariance, plots."""
