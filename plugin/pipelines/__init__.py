"""The order of the steps of a reading, for X-ray and CT, and nothing else."""
