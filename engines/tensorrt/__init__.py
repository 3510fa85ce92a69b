"""TensorRT 8.5 to 11 behind one small door; imported only where a driver answers."""
