"""What a model assigns to its possible answers: exact probabilities, nothing sampled."""
