"""airtune.benchmarks (being built)."""
