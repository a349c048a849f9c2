"""Real servers: PostgreSQL and HTTP."""
