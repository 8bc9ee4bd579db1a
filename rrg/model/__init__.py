"""Models: loading, generation, GGUF."""
