"""What to run (`plan`, `tune`), how to run one (`job`, `trial`, `execute`), and where to run them (`executors`)."""
