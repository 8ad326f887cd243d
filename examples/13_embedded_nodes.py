"""A program starts nodes within itself; they are a cluster as any other, and end with it."""

import os
import signal

from ensemble import apart

from beethoven import start_node

ROLES = {"greeter": {"module": "ensemble.greeter:Greeter", "instances": 1}}

if __name__ == "__main__":
    with apart() as port:
        config = {"beethoven": {"listener_port": port}, "roles": ROLES}
        with start_node(config, name="clara", log=None, wait=True) as clara:
            print(clara.call("greeter", "program"))
            with start_node(config, name="felix", log=None, wait=True) as felix:
                os.kill(clara.pid, signal.SIGKILL)
                clara.wait()
                print(f"clara has ended: {clara.exit_reason}")
                print(felix.call("greeter", "felix", timeout=30))
            print(f"felix has ended: {felix.exit_reason}")
