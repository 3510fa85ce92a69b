"""The twin: a simulated camera, conveyor and PLC that speak the real protocols."""
