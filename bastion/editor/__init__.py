"""The line editor of a gated shell: keys of the client in, one complete command out."""
