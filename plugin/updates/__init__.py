"""Newer versions of models from a channel of the site's own: found, checked, shadowed, installed."""
