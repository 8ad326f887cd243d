"""What the machine that a node runs on tells of itself: where it stands, and when it must go."""
