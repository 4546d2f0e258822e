"""What to run (`plan`), how to run one (`execute`), and where to run them (`executors`)."""
