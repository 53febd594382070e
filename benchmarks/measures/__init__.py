"""Measurements besides comparisons: grammars, models, speed, tokens."""
