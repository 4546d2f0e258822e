"""Specs, hashing, seeds, paths, errors and progress: the base of every other package; imports no large library."""
