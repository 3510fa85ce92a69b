"""``edge evaluate``: how good and how fast gate, classifier and their routing are, on parts nobody has seen."""
