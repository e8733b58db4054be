"""Model cards, the networks behind them, and which of them reads what."""
