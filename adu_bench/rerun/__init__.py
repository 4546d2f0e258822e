"""Run a method again without trusting it: apart from its bundle, the test images and the process that predicts."""
