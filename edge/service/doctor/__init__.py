"""``edge doctor``: is this machine fit for its line? One small function a question, and what mends it."""
