"""SQL → what it does: PostgreSQL's own grammar (libpg_query), walked."""
