"""Where the time of a part goes: ``edge profile``."""
