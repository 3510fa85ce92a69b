"""Speed and memory, measured; never asserted in unit tests."""
