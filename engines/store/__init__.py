"""Built engines: stored whole, signed, verified before use, swapped atomically, and rolled back."""
