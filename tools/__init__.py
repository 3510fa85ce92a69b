"""Workstation side: twin, training, comparison."""
