"""Images: their sources and pools, how they are decoded and preprocessed, cached and sampled."""
