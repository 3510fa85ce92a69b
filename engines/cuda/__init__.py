"""pycuda's context and memory, and the compiler of our kernel; imported only where a driver answers."""
