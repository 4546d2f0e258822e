"""CLIP models, their weights, and the parts that methods add to them."""
