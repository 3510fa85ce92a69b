"""Process set-up: real-time permissions, affinity, signals."""
