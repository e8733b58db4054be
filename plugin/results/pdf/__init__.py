"""The report on one page, as Encapsulated PDF."""
