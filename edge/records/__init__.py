"""Part records, the ring file and recordings."""
