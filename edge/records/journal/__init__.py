"""The journal: every part for good, in one SQLite file that only the reporting process writes."""
