"""Contrastive pre-training of small CLIP models: the shipped ``emoji-clip``, and users' models for a suite."""
