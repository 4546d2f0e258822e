"""Pictures: where they come from, which pool they belong to, how they are cached and sampled."""
