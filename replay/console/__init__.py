"""The console: what waits, what runs, what was decided, what is locked; and keys to act on it."""
