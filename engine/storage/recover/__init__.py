"""Salvaging what a damaged study file still holds."""
