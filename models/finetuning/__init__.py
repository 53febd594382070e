"""Making a user's own checkpoint better at tuning hyperparameters; imported only to do it."""
