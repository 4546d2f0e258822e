"""The figures of a report, a module a concept; each is a function of plain results that returns a ``Figure``."""
