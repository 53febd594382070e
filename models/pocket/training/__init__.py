"""All that makes the bundled model: data, training, evaluation."""
