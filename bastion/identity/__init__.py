"""IO: who somebody is: OIDC, certificates, the authority that signs them."""
