"""The calibration tool."""
