"""Specs, hashing, seeds, paths and errors: what every other package stands on; standard library only."""
