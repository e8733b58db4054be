"""What physicians made of the plugin's results, as training cases and as counts."""
