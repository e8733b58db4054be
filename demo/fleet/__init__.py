"""A whole installation with many workers, as ordinary processes: for soak, benchmarks and tests."""
