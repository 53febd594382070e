"""The dialect of the bundled model."""
