"""The only SQL: the pool, the embedded server, migrations, and one store module for each noun."""
