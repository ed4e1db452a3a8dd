"""Instances on the nodes of a Ray cluster: one agent on each node, which runs its instances by the local executors."""

import os

# Ray reads it when it is imported: a call that comes after the end would start another cluster.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
