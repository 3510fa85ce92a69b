"""A candidate beside the line: it judges live parts without acting, and what it says is laid beside the verdicts."""
