"""The client of an address, by its protocol: neither library is imported for the other's."""

from __future__ import annotations

from backends.access import Access
from backends.v2.address import Address
from backends.v2.client import Client


def connect(address: Address, access: Access) -> Client:
    """A client of the address's protocol; it connects with its first call."""
    if address.protocol == "grpc":
        from backends.v2.grpc_client import GrpcClient

        return GrpcClient(address, access)
    from backends.v2.http_client import HttpClient

    return HttpClient(address, access)
