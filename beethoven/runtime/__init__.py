"""One process and its messages."""
