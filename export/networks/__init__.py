"""Architectures in PyTorch, each ready for export with fixed shapes."""
