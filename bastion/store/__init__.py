"""IO: what is kept: recordings, audit, approvals, sessions."""
