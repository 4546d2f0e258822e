"""What the command line does, as functions for notebooks and scripts; nothing here parses options or prints."""
