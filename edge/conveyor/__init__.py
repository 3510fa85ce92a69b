"""Belt speed, encoder and part tracking."""
