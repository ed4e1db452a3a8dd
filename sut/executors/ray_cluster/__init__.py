"""Instances on the nodes of a Ray cluster: one agent on each node, which runs its instances by the local executors."""
