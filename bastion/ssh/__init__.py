"""IO: the SSH listener: connections, sessions, channels, forwards, and the loop that drives them."""
