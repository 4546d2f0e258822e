"""Submissions: packing a bundle, reading it as untrusted input, scoring it again, and optionally rerunning a part."""
