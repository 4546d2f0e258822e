"""What people look at: boards from runs or committed rows, and the files generated from them."""
