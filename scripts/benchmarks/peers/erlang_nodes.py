"""Erlang/OTP: a `gen_server` in one virtual machine, and the clients in another."""

from scripts.benchmarks.peers.erlang_machine import Erlang


class TwoMachines(Erlang):
    """The server in a virtual machine of its own."""

    is_distributed = True


PEER = TwoMachines
