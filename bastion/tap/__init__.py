"""Pure: what watches a channel's bytes: the masker and the cast encoder."""
