"""Dialects: how a problem becomes a prompt, and an answer a configuration."""
