"""The embedded default: a throw-away CA, an OIDC provider, a target and a sample policy."""
