"""Groups: processes of all nodes, found and told things by the name of what they have joined."""
