"""An SSH bastion with command gating and session replay."""

__version__ = "0.1.0"
