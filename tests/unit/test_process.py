"""A process seen from inside, without a life of its own."""

import os
import socket
import threading

from beethoven.runtime import process as process_module
from beethoven.runtime.client import Client
from beethoven.runtime.here import here
from beethoven.runtime.names import socket_path
from beethoven.runtime.process import Process
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import connect, listen


def test_whoever_is_just_being_taken_in_is_a_caller_before_the_end_is_told(tmp_path, monkeypatch):
    """Two threads may do so: that of the mailbox, and the one that ends the process."""
    is_taking_in, may_go_on = threading.Event(), threading.Event()

    class SlowClient(Client):
        def __init__(self, *arguments):
            is_taking_in.set()
            may_go_on.wait(10)
            super().__init__(*arguments)

    monkeypatch.setattr(process_module, "Client", SlowClient)
    pair = socket.socketpair()
    monkeypatch.setattr(socket, "socketpair", lambda: pair)
    ref = Ref("1-a", str(tmp_path), os.getpid())
    path = socket_path(ref.folder, ref.identity)
    process = Process(ref, parent=None, linked=False, control=None, listener=listen(path))
    monkeypatch.setattr(here, "process", process)
    callers: list[Client] = []

    def end():
        process.forget_name()
        callers.extend(process._clients.values())

    with connect(path):
        mailbox = threading.Thread(target=process.receive, kwargs={"wait": False})
        mailbox.start()
        assert is_taking_in.wait(10)
        ending = threading.Thread(target=end)
        ending.start()
        ending.join(0.1)
        may_go_on.set()
        mailbox.join(10)
        ending.join(10)
        assert len(callers) == 1
    for each in (callers[0], process.poller, *pair):
        each.close()
