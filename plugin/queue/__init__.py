"""What is owed, taken and settled: the ledger, the intake that fills it, the worker that empties it."""
