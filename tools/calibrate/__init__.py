"""``edge calibrate``: calibration of scores, routing table and its certificate."""
