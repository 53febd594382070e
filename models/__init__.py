"""airtune.models (being built)."""
