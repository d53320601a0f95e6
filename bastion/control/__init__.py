"""The Unix-socket service through which a second terminal lists and decides."""
