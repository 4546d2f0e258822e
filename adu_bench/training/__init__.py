"""What methods share: the problem they are given, losses, the maximum mean discrepancy, the training loop."""
