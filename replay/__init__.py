"""What runs in a terminal: the player of recordings and, later, the approvals console."""
