"""The system under test: everything between LoadGen and a backend."""
