"""Run reports and the terminal view."""
