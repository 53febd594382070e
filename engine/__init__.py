"""airtune.engine (being built)."""
