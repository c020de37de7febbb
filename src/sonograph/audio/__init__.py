"""Sound in and out, and what models see of it."""
