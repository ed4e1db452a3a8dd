"""The faces of a node that speak KServe v2, over gRPC and HTTP."""
