"""What the plugin answers over HTTP, under ``/ai``."""
