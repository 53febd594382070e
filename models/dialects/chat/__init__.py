"""The dialect of instruction-tuned models."""
