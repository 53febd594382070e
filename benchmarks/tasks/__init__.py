"""Tasks to tune."""
