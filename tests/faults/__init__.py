"""Faults: studies are killed, starved and damaged, and must end as if nothing had been."""
