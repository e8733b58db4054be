"""The schema of the ledger, step by step: Alembic's environment, and one module a version."""
