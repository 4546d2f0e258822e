"""The acceptance battery: checks that results are right and fast on a device, each against a stated threshold."""
