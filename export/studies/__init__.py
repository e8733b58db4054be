"""Studies that answer a question about the networks once, and can be repeated."""
