"""IO: credential references become a Secret, held only while used."""
