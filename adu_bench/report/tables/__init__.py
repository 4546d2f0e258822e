"""Tables: one `table.Table` with its writers, and the modules that fill it."""
