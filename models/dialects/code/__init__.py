"""The dialect in which a model writes programs of a program space."""
