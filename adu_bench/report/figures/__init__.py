"""The figures of a report, one module per figure; each is a function from results to a ``Figure``."""
