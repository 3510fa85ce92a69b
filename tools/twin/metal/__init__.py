"""The look ``metal``: machined aluminium under a flash, with what handling and the line do to it."""
