"""The ground floor: what every package of ours may import, and which imports nothing of ours."""
