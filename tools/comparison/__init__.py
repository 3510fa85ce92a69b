"""Networks against each other: the same data, the same machine, one command (``python -m tools.compare``)."""
