"""The picture archive: which parts' frames are kept, where, and for how long."""
