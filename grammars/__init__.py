"""airtune.grammars (being built)."""
