"""Structured channel pruning of a trained classifier."""
