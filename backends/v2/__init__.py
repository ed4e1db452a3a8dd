"""KServe v2, or Open Inference Protocol: its messages in both forms, and servers that speak it as a backend.

Both sides of the protocol use the forms here: this backend, and the faces of `python -m sut serve`.
"""
