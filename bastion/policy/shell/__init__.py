"""Command lines: what a shell would make of them."""
