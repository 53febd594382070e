"""Where programs run that nobody vouches for: a process of their own, with nothing in reach but what they are given."""
