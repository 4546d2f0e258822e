"""Shared by all methods: the unlearning problem, losses, the maximum mean discrepancy and the training loop."""
