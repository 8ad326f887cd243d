"""Where it is decided which node runs which role."""
