"""The llama_cpp backend."""
