"""Header rules: which series are read, and which of their instances."""
