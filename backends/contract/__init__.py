"""The contract of a backend as checks that run on any class: `sut check-backend`, a pytest plugin and our own tests."""
