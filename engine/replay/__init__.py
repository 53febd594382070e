"""Deriving the proposals of a study again, and comparing."""
