"""Airtune as a sampler of Optuna, and studies exported to it."""
