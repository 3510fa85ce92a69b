"""Are the units sound, and do they start, restart and keep the PLC safe? ``make systemd-check``."""
