"""IO: dialling what stands behind the bastion, and checking that it is what it should be."""
