"""Boards: made from runs or committed rows, beside the paper's published numbers.  Verification needs these too."""
