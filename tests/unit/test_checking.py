"""A node beyond loopback does not start without a cookie, and a cookie that is none is told."""

from pathlib import Path

import pytest

from beethoven.cloud.settings import AzureSettings, Endpoint
from beethoven.node.checking import cookie_problems
from beethoven.node.settings import NodeSettings

FILE = Path("/srv/app.toml")
SECRET = "correct horse battery staple"


def problems(home, environ=None, **values):
    variables = {"HOME": str(home), **(environ or {})}
    return cookie_problems("app.toml", NodeSettings(FILE, **values), variables)


@pytest.fixture
def cookie(tmp_path):
    path = tmp_path / "cookie"
    path.touch(mode=0o600)
    path.write_text(SECRET, "utf-8")
    return path


BEYOND = [
    ({"cluster_net": "10.1.2.0", "cluster_net_mask": 24}, "10.1.2.0/24"),
    ({"cluster_net": "fd00::", "cluster_net_mask": 64}, "fd00::/64"),
    ({"bind": "10.1.2.3"}, "10.1.2.3/32"),
    ({"cluster_net": "127.0.0.0", "cluster_net_mask": 7}, "126.0.0.0/7"),
]


@pytest.mark.parametrize(("values", "network"), BEYOND)
def test_beyond_loopback_a_cookie_must_have_been_given(tmp_path, cookie, values, network):
    [problem] = problems(tmp_path, **values)
    assert problem.startswith(
        f"app.toml: beethoven.cookie_file: expected a cookie, because {network} reaches"
        " beyond this machine; set BEETHOVEN_COOKIE or cookie_file to one secret on every node"
    )
    assert problems(tmp_path, {"BEETHOVEN_COOKIE": SECRET}, **values) == []
    assert problems(tmp_path, cookie_file=cookie, **values) == []


def test_whoever_asks_azure_needs_a_cookie_unless_a_stand_in_on_loopback_answers(tmp_path, cookie):
    [problem] = problems(tmp_path, use_az_net=True)
    assert "because 169.254.169.254/32 reaches beyond this machine" in problem
    assert problems(tmp_path, {"BEETHOVEN_COOKIE": SECRET}, use_az_net=True) == []
    assert problems(tmp_path, cookie_file=cookie, use_az_net=True) == []
    for host in ("127.0.0.9", "::1"):
        stand_in = AzureSettings(endpoint=Endpoint(host, 8080))
        assert problems(tmp_path, use_az_net=True, azure=stand_in) == []
    beyond = AzureSettings(endpoint=Endpoint("10.0.0.1", 80))
    assert problems(tmp_path, use_az_net=False, azure=beyond) == []
    assert len(problems(tmp_path, use_az_net=True, azure=beyond)) == 1


def test_on_loopback_none_is_needed_and_a_check_makes_none(tmp_path):
    assert problems(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert problems(tmp_path, bind="127.0.0.9") == []
    assert problems(tmp_path, cluster_net="::1", cluster_net_mask=128) == []


def test_a_cookie_that_cannot_be_used_is_told_without_being_shown(tmp_path, cookie):
    gone = tmp_path / "gone"
    assert problems(tmp_path, cookie_file=gone) == [
        f"{gone}: cannot read the cookie: No such file or directory"
    ]
    cookie.chmod(0o644)
    [problem] = problems(tmp_path, cookie_file=cookie)
    assert problem.startswith(f"{cookie}: expected nobody else to have access to the cookie")
    [problem] = problems(tmp_path, {"BEETHOVEN_COOKIE": "hunter2"})
    assert problem.startswith("BEETHOVEN_COOKIE: line 1: expected the key to have at least")
    assert "hunter2" not in problem


def test_the_cookie_of_the_user_is_looked_at_if_there_is_one(tmp_path):
    path = tmp_path / ".config" / "beethoven" / "cookie"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    [problem] = problems(tmp_path)
    assert problem.startswith(f"{path}: expected 1 to 8 keys")


def test_a_user_without_a_home_needs_a_cookie():
    assert problems("") == ["cookie: this user has no home; set BEETHOVEN_COOKIE or cookie_file"]
