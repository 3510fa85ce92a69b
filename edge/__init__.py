"""The runtime that runs on the line."""
