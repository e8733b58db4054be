"""Networks of one task compared by experiment: the same folds, budget, data and seed for each."""
