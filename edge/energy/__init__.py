"""What a part costs in energy, by the way it is judged: ``edge energy``."""
