"""The header rules themselves, for X-ray and for CT, and their limits."""
