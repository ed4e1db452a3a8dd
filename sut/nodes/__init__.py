"""The protocol between a run and its nodes: frames over TCP, the handshake, credentials. It knows no instances."""
