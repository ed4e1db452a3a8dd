"""A node: loaded engines that answer queries from other machines."""
