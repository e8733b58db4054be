"""Readers of the training data: files to arrays, labels, patients and splits."""
