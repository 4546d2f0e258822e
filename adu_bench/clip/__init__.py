"""CLIP models: the only package that imports open_clip."""
