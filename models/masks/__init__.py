"""Which tokens a grammar allows next, by interchangeable engines."""
