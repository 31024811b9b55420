"""What every transport must do (`labkit.taskqueue.transport.contract`), written once.

The modules here hold test functions that take a `transport` fixture. `tests/unit` runs them over the one in
memory, `tests/integration` over the two that talk to a broker.
"""
