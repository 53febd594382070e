"""Tables of learning algorithms trained as people train them: what the next `pocket` learns from."""
