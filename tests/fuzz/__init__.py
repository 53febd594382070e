"""Hostile input for every reader: `python -m tests.fuzz --help` runs for as long as you like."""
