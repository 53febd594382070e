"""From finished studies to figures: statistics and significance."""
