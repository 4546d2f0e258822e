"""Submissions: made into a bundle, read as if a stranger had made it, scored again, and perhaps run again."""
