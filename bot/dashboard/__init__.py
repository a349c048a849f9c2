"""The page and the API: what the daemon does, for a person who logged in."""
