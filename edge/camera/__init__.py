"""Frame sources behind one small class."""
