"""What is looked at in a finished run's classifier, long after training; needs torch."""
