"""Evaluating a configuration: objectives, commands, worker processes."""
