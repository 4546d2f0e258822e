"""Artefacts of a finished run's classifier: attention maps and features; needs torch."""
