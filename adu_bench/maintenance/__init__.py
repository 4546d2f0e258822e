"""Tools that make committed files: the emoji index, and the error rates of the statistical procedures."""
