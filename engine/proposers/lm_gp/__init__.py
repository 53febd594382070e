"""A language model's answers, ranked by a Gaussian process."""
