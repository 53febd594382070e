"""The study file: what is written, read, checked, exported and salvaged."""
