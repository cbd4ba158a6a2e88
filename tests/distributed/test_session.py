"""What Ray needs of the machine, asked before it is imported: addresses, folders, tokens, network interfaces."""

import os
import socket
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from prepared import digits, job

from genlib.distributed import session, train
from genlib.errors import InputError


@pytest.fixture
def closed_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield found.getsockname()[1]


@pytest.mark.parametrize(
    "form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "localhost:{}", "[::1]:{}", "no.invalid:{}", "127.0.0.1:9{}"]
)
def test_an_address_where_nothing_listens_is_refused_at_once(monkeypatch, closed_port, form):
    """Kind: an address looked at only after the work. A RAY_ADDRESS of yesterday's cluster is still in the shell."""
    monkeypatch.setenv("RAY_ADDRESS", form.format(closed_port))
    with pytest.raises(InputError, match=r"^RAY_ADDRESS: got .*, expected host:port of a running head"):
        session.check_environment()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b""])
def test_an_address_where_another_program_listens_is_refused_at_once(monkeypatch, answer):
    """Kind: a port that is open, but another program's; Ray itself tries that for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with server.accept()[0] as peer:
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(InputError, match=r"RAY_ADDRESS: got .*, expected host:port of a running head"):
            session.check_environment()
        thread.join()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("{}", "{}"), ("{}/" + "long/" * 20, "/tmp"), ("{}/é", "/tmp"), ("{}/none", "/tmp")],
    ids=["short", "long", "not ASCII", "missing"],
)
def test_ray_has_its_sockets_in_a_short_folder(monkeypatch, asked, expected):
    """Kind: a path that is too long or has other letters for a library. SLURM's TMPDIR has the job in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(asked.format(short))
        if folder.name != "none":
            folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        assert str(session._short_temp_dir()) == expected.format(short)


def test_a_token_that_others_may_read_is_made_private(monkeypatch, tmp_path):
    """Kind: a secret in a file that others may read. Ray writes ~/.ray/auth_token as the umask says: 0644."""
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("secret")
    token.chmod(0o644)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    session.configure_ray_env()
    assert token.stat().st_mode & 0o777 == 0o600


def test_a_ray_of_its_own_takes_no_token_from_a_file(monkeypatch):
    """Kind: a file in HOME is needed. HOME may be read-only or missing, and others may enter it."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    session._keep_to_this_machine()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize(
    ("address", "expected"), [("10.0.0.7", "eth1"), ("fe80::7", "eth1"), ("127.0.0.1", "lo"), ("10.9.9.9", None)]
)
def test_workers_connect_by_the_interface_of_their_nodes_address(monkeypatch, address, expected):
    """Kind: the host's own name decides where to listen. Debian writes 127.0.1.1 beside it in /etc/hosts."""
    nics = {"lo": ["127.0.0.1", "::1"], "eth0": ["192.0.2.1"], "eth1": ["10.0.0.7", "fe80::7%eth1"]}
    found = {name: [SimpleNamespace(address=each) for each in each_nic] for name, each_nic in nics.items()}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: address)
    monkeypatch.setattr(os, "environ", {})
    train._bind_to_node_address()
    names = {} if expected is None else {"GLOO_SOCKET_IFNAME": expected, "NCCL_SOCKET_IFNAME": f"={expected}"}
    assert os.environ == names


def test_the_interface_that_the_user_names_stays(monkeypatch):
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.setattr(os, "environ", {"GLOO_SOCKET_IFNAME": "ib0"})
    train._bind_to_node_address()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "ib0"


@pytest.mark.parametrize("asked", [2, (1, 4)])
def test_workers_on_a_cluster_without_cpus_are_refused(tmp_path, asked):
    """Kind: a request that can never be met waits for ever. A head with 0 CPUs and no node yet."""
    with pytest.raises(InputError, match=r"models\.gan\.train\.workers: got .*, expected a cluster with CPUs"):
        train._resolve_num_workers(job("gan", digits(tmp_path), workers=asked), 0, 0, print)


def test_waiting_is_said_with_what_is_asked_and_what_is_there_ever_less_often(monkeypatch):
    """Kind: silence that looks like work. Others have the CPUs, or a node does not come back."""
    looks, enough, said = [], threading.Event(), []

    def pending():
        looks.append(len(said))
        if len(looks) > 20:
            enough.set()
        return {"a group": "2 CPU; 0 of 4 CPU are free"}

    monkeypatch.setattr(session, "WAITING_INTERVAL_S", 0.005)
    monkeypatch.setattr(session, "_pending_groups", pending)
    with session.report_waiting("train vae", said.append):
        assert enough.wait(60)
    assert set(said) == {"train vae: waits for 2 CPU; 0 of 4 CPU are free"}
    # It is looked at twice before the first words: what has just been asked for may only be on its way.
    assert looks[:19] == [0, 0, 1, 2, 2, 3, 3, 3, 3, *[4] * 8, 5, 5]
