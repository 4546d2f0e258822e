"""How fast the harness is: against open_clip's own blocks, and against training as it is usually published."""
