"""A node listens on the first free address that it may have, and is called after it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path

import pytest

from beethoven.cloud.site import Site
from beethoven.cluster.addresses import Address
from beethoven.cluster.fields import NAME
from beethoven.cluster.locator_events import HostName, LocatorSettings
from beethoven.errors import AddressTaken, NoAddress
from beethoven.node.addresses import (
    allowed_hosts,
    locator_settings,
    network,
    networks,
    node_name,
    open_listener,
    search_pace,
    state_file,
)
from beethoven.node.settings import NodeSettings
from scripts.ports import free_port

FILE = Path("/srv/app.toml")
PORT = free_port()

# Here, to nobody: nodes of this net are no nodes of the default one.
NET = {"cluster_net": "127.33.0.0", "cluster_net_mask": 30, "listener_port": PORT}


def settings(**values):
    return NodeSettings(FILE, **{**NET, **values})


@pytest.fixture
def listening():
    """Return a function that opens the listener of a node; all are closed in the end."""
    opened = []

    def listen(**values):
        listener, address = open_listener(settings(**values), patience=0)
        opened.append(listener)
        assert listener.getsockname()[:2] == (address.host, address.port)
        return address.host

    yield listen
    for each in opened:
        each.close()


def other_program(host, port=PORT, family=socket.AF_INET):
    """Return a socket of another program, listening."""
    other = socket.socket(family)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind((host, port))
    other.listen()
    return closing(other)


@pytest.mark.process
def test_on_loopback_nodes_take_the_addresses_in_turn(listening):
    assert [listening(), listening()] == ["127.33.0.1", "127.33.0.2"]
    with pytest.raises(AddressTaken) as raised:
        listening()
    assert str(raised.value) == (
        f"listener_port: other nodes, or other programs, listen on port {PORT} of all"
        " addresses from 127.33.0.1 to 127.33.0.2; use another port or a smaller cluster_net_mask"
    )


@pytest.mark.process
def test_an_address_is_free_again_at_once():
    """Also while a connection of the node before is still winding down."""
    for _ in range(3):
        listener, address = open_listener(settings(), patience=0)
        with closing(listener), socket.create_connection((address.host, address.port)):
            accepted, _ = listener.accept()
            accepted.close()
        assert address == Address("127.33.0.1", PORT)


@pytest.mark.process
def test_another_program_keeps_a_node_from_an_address(listening):
    with other_program("127.33.0.1"):
        assert listening() == "127.33.0.2"


@pytest.mark.process
@pytest.mark.parametrize(("host", "family"), [("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)])
def test_a_program_that_listens_everywhere_takes_every_address(listening, host, family):
    with other_program(host, family=family), pytest.raises(AddressTaken, match=r"of all addresses"):
        listening()


@pytest.mark.process
def test_nodes_that_start_together_never_share_an_address():
    start, found, opened = threading.Barrier(6), [], []

    def node():
        start.wait(10)
        listener, address = open_listener(settings(cluster_net_mask=29), patience=0)
        opened.append(listener)
        found.append(address.host)

    threads = [threading.Thread(target=node) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for listener in opened:
        listener.close()
    assert sorted(found) == [f"127.33.0.{number}" for number in range(1, 7)]


@pytest.mark.process
@pytest.mark.parametrize(
    ("net", "mask", "hosts"),
    [
        ("127.33.0.5", 32, ["127.33.0.5"]),  # the original loops for ever (D9)
        ("127.33.0.4", 31, ["127.33.0.4", "127.33.0.5"]),
        ("127.33.0.77", 30, ["127.33.0.77", "127.33.0.78"]),  # D30: x.77/30 is x.76 to x.79
        ("::1", 128, ["::1"]),
    ],
)
def test_small_and_unaligned_networks_have_their_hosts(listening, net, mask, hosts):
    values = {"cluster_net": net, "cluster_net_mask": mask}
    assert [listening(**values) for _ in hosts] == hosts
    with pytest.raises(AddressTaken):
        listening(**values)


@pytest.mark.process
def test_a_node_listens_where_it_is_told_to(listening):
    assert listening(bind="127.44.0.9") == "127.44.0.9"
    with pytest.raises(AddressTaken) as raised:
        listening(bind="127.44.0.9")
    assert str(raised.value) == (
        f"listener_port: another node, or another program, listens on 127.44.0.9:{PORT}"
    )


SITE = Site("web_3", (ip_network("127.34.0.0/29"),), ("127.77.0.1", "127.34.0.4"))


@pytest.mark.process
def test_a_node_listens_where_its_provider_says():
    listener, address = open_listener(settings(), SITE, patience=0)
    second, other = open_listener(settings(), SITE, patience=0)
    with listener, second:
        assert address == Address("127.34.0.4", PORT), "where others search comes first"
        assert other == Address("127.77.0.1", PORT)
        with pytest.raises(AddressTaken):
            open_listener(settings(), SITE, patience=0)


@pytest.mark.process
def test_what_is_set_counts_more_than_what_the_provider_says():
    listener, address = open_listener(settings(bind="127.44.0.9"), SITE, patience=0)
    listener.close()
    assert address.host == "127.44.0.9"


def test_what_a_provider_does_not_say_is_as_configured():
    assert networks(settings(), Site("web_3")) == (network(settings()),)
    assert networks(settings(), SITE) == SITE.networks
    assert list(allowed_hosts(settings(), Site())) == ["127.33.0.1", "127.33.0.2"]
    nets = tuple(map(ip_network, ("127.34.0.0/30", "127.35.0.0/30")))
    hosts = allowed_hosts(settings(), Site(networks=nets))
    assert list(hosts) == ["127.34.0.1", "127.34.0.2", "127.35.0.1", "127.35.0.2"]


def test_an_address_of_another_machine_is_refused_whoever_says_it():
    with pytest.raises(NoAddress) as raised:
        open_listener(settings(), Site(addresses=("203.0.113.7",)))
    text = str(raised.value)
    assert text.startswith("use_az_net: expected an address of this machine, got: 203.0.113.7; it")
    assert text.endswith("; set bind")


def test_a_provider_says_where_others_are():
    told = locator_settings(settings(), SITE)
    assert told.networks == SITE.networks
    assert told.skip_azure_reserved
    without = locator_settings(settings(), Site("web_3"))
    assert without.networks == (network(settings()),)
    assert not without.skip_azure_reserved


@pytest.mark.process
def test_the_only_address_is_waited_for():
    """A node that was killed has processes that hold its address for a moment."""
    first, address = open_listener(settings(bind="127.44.0.9"))
    timer = threading.Timer(0.2, first.close)
    timer.start()
    second, again = open_listener(settings(bind="127.44.0.9"), patience=10)
    second.close()
    timer.join()
    assert again == address


@pytest.mark.process
def test_the_socket_is_not_inherited_and_does_not_block():
    listener, _ = open_listener(settings())
    with closing(listener):
        assert not listener.get_inheritable()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(NoAddress) as raised:
        open_listener(settings(bind="203.0.113.7"))
    text = str(raised.value)
    assert text.startswith("bind: expected an address of this machine, got: 203.0.113.7; it has ")
    assert "127.0.0.1" in text


def test_a_machine_outside_the_network_is_told_its_addresses():
    with pytest.raises(NoAddress) as raised:
        open_listener(settings(cluster_net="203.0.113.0", cluster_net_mask=24))
    text = str(raised.value)
    assert text.startswith(
        "cluster_net: expected this machine to have an address inside 203.0.113.0/24; it has "
    )
    assert "127.0.0.1" in text


def test_a_port_that_is_not_allowed_is_named():
    if os.geteuid() == 0:
        pytest.skip("root may listen on any port")
    with pytest.raises(NoAddress, match=r"listener_port: cannot listen on 127\.33\.0\.1:1: Perm"):
        open_listener(settings(listener_port=1))


IN_A_NAMESPACE = """
import json, sys
from pathlib import Path
from beethoven.errors import NodeError
from beethoven.node.addresses import open_listener
from beethoven.node.settings import NodeSettings

kept = []
for values in json.loads(sys.argv[1]):
    try:
        listener, address = open_listener(NodeSettings(Path("/x"), **values), patience=0)
        kept.append(listener)
        print(address)
    except NodeError as error:
        print(error)
"""


@pytest.mark.process
def test_beyond_loopback_a_node_listens_on_its_address_inside_the_network():
    setup = "ip link set lo up && ip addr add 10.7.1.9/24 dev lo && ip addr add fd07::9/64 dev lo"
    cases = [
        {"cluster_net": "10.7.1.0", "cluster_net_mask": 24},
        {"cluster_net": "10.7.1.9", "cluster_net_mask": 32, "listener_port": 1},
        {"cluster_net": "0.0.0.0", "cluster_net_mask": 0},
        {"cluster_net": "fd07::", "cluster_net_mask": 64},
        {"cluster_net": "10.7.2.0", "cluster_net_mask": 24},
    ]
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("this machine has no unshare or no ip")
    program = [sys.executable, "-c", IN_A_NAMESPACE, json.dumps(cases)]
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", f'{setup} && exec "$@"', "sh", *program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in done.stderr or "RTNETLINK" in done.stderr:
        pytest.skip(f"no network namespace can be made here: {done.stderr}")
    assert done.stdout.splitlines() == [
        "10.7.1.9:33000",
        "10.7.1.9:1",
        # Taken once already, and never on loopback.
        "listener_port: another node, or another program, listens on 10.7.1.9:33000",
        "[fd07::9]:33000",
        "cluster_net: expected this machine to have an address inside 10.7.2.0/24;"
        " it has 10.7.1.9, 127.0.0.1, ::1, fd07::9",
    ], done.stderr


def test_a_node_is_called_as_it_is_told():
    assert node_name(settings(name="n1"), Address("10.1.2.3", 1)) == "n1"


@pytest.mark.parametrize(("host", "name"), [("127.0.0.2", "127.0.0.2"), ("::1", "0--1")])
def test_on_loopback_a_node_is_called_after_its_address(host, name):
    assert node_name(settings(), Address(host, 1)) == name
    assert NAME.read(name) == name


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ("Web-1.example.org", "web-1"),
        ("app_7", "app_7"),
        ("-a b-", "a-b-"),
        ("ünï", "n-"),
        ("x" * 64, "x" * 64),
        ("localhost", "10.1.2.3"),
        ("localhost.localdomain", "10.1.2.3"),
        ("", "10.1.2.3"),
        ("...", "10.1.2.3"),
        ("---", "10.1.2.3"),
    ],
)
def test_elsewhere_a_node_is_called_after_its_machine(machine, name):
    assert node_name(settings(), Address("10.1.2.3", 1), machine) == name
    assert NAME.read(name) == name


def test_a_machine_has_a_name():
    assert NAME.read(node_name(settings(), Address("fd00::1", 1)))


def test_what_the_locator_is_told():
    places = {"seeds": (Address("10.0.0.1", 7),), "seed_names": (HostName("db", 7),)}
    told = settings(cluster_net="10.1.2.9", cluster_net_mask=24, use_az_net=True, **places)
    assert str(network(told)) == "10.1.2.0/24"
    assert locator_settings(told) == LocatorSettings(
        networks=(network(told),),
        port=PORT,
        seeds=(Address("10.0.0.1", 7),),
        names=(HostName("db", 7),),
    )


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_STATE_HOME": "/var/x", "HOME": "/home/me"}, "/var/x"),
        ({"XDG_STATE_HOME": "x", "HOME": "/home/me"}, "/home/me/.local/state"),
        ({"HOME": "/home/me"}, "/home/me/.local/state"),
    ],
)
def test_a_node_remembers_its_peers_in_a_file_of_its_own(environ, folder):
    node = settings(cluster="orchestra")
    name = f"peers-orchestra-n1-{node.listener_port}.json"
    assert state_file(node, "n1", environ) == f"{folder}/beethoven/{name}"


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_a_user_without_a_home_has_no_such_file(environ):
    assert state_file(settings(), "n1", environ) is None


@pytest.mark.parametrize(
    ("net", "neighbours", "pace"),
    [
        ("10.1.2.0/24", 1024, 1280.0),
        ("10.1.0.0/20", 1024, 256.0),
        ("10.1.0.0/20", 8192, 1280.0),
        ("10.1.0.0/16", 8192, 1280.0),
        ("10.1.0.0/16", 2048, 512.0),
        ("127.0.0.0/8", 1024, 1280.0),
    ],
)
def test_a_large_network_is_searched_no_faster_than_the_kernel_can_bear(net, neighbours, pace):
    assert search_pace((ip_network(net),), neighbours) == pace
