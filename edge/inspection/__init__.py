"""Gate, classifier, routing and verdicts."""
