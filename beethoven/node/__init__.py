"""A node: its configuration, its standard tree, and the control interface behind the verbs."""
