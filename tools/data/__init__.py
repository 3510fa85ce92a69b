"""From the few pictures there are to a set that a network can learn from."""
