"""IO: the SSH listener: connections, sessions, channels, forwards, and their one loop."""
