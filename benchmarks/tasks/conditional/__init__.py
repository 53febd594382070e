"""Spaces as people write them, by forests over tables of our own: for choosing designs on."""
