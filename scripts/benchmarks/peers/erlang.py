"""Erlang/OTP: a `gen_server` in a virtual machine; the clients are processes of the same one."""

from scripts.benchmarks.peers.erlang_machine import Erlang


class OneMachine(Erlang):
    """Server and clients in one virtual machine."""

    is_distributed = False


PEER = OneMachine
