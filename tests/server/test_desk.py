"""The authority's desk: `narrows pki desk` and `narrows device enroll` as processes and peers."""

import json
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager

import grpc
import pytest
from command_line import narrows
from cryptography import x509

from narrows.edge.board.enroll import _asked, _presented, enroll
from narrows.errors import ConfigError, LinkError
from narrows.protos.narrows.v1 import enrollment_pb2
from narrows.security.authority import DEVICE_URN, Authority
from narrows.security.codes import read_code
from narrows.security.files import read_credentials
from narrows.server.desk import admit


@contextmanager
def desk(folder):
    command = [sys.executable, "-m", "narrows", "pki", "desk", str(folder), "--host", "127.0.0.1"]
    command += ["--port", "0", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet") / "fleet"
    Authority.create(folder)
    with desk(folder) as address:
        yield folder, address


def test_a_device_gets_a_certificate_that_its_fleet_believes(fleet, tmp_path):
    folder, address = fleet
    code = json.loads(narrows("pki", "admit", str(folder), "camera-7", "--json").stdout)["code"]
    out = tmp_path / "camera-7"
    told = ("device", "enroll", "camera-7", "--desk", address, "--out", str(out))
    done = narrows(*told, "--code", code.lower(), "--json")
    assert done.returncode == 0, done.stderr
    authority, _key, certificate = read_credentials(out, "device")
    assert stat.S_IMODE((out / "device.key").stat().st_mode) == 0o600
    assert authority == (folder / "ca.crt").read_bytes()
    made = x509.load_pem_x509_certificate(certificate)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == [DEVICE_URN + "camera-7"]
    (issued,) = [row for row in Authority(folder).issued() if row.name == "camera-7"]
    assert int(issued.serial, 16) == made.serial_number  # so that it can be revoked
    again = narrows(*told, "--code", code)
    assert again.returncode == 2
    assert "no such code" in again.stderr


def test_another_desk_hears_no_secret(fleet, tmp_path):
    folder, _ = fleet
    code = admit(folder, "camera-8", 60)
    Authority.create(tmp_path / "stranger")
    with desk(tmp_path / "stranger") as stranger:
        with pytest.raises(LinkError, match="nothing was sent"):
            enroll(stranger, "camera-8", code, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nobody_there_and_no_code_are_told(fleet, tmp_path):
    folder, address = fleet
    code = admit(folder, "camera-9", 60)
    with pytest.raises(LinkError, match="no desk there"):
        enroll("127.0.0.1:9", "camera-9", code, tmp_path / "out")
    with pytest.raises(ConfigError, match="no code"):
        enroll(address, "camera-9", "hello", tmp_path / "out")
    with pytest.raises(ConfigError, match="no such code"):
        enroll(address, "somebody-else", code, tmp_path / "out")


@pytest.mark.parametrize("csr", [b"", b"\x30\x82", b"x" * 5000])
def test_what_is_no_request_costs_no_code_and_no_desk(fleet, tmp_path, csr):
    folder, address = fleet
    code = admit(folder, "camera-10", 60)
    _, secret = read_code(code)
    request = enrollment_pb2.EnrollRequest(name="camera-10", secret=secret, csr=csr)
    with pytest.raises((ConfigError, LinkError)):
        _asked(address, _presented(address), request)
    enroll(address, "camera-10", code, tmp_path / "out")
    assert (tmp_path / "out" / "device.crt").exists()


def test_plain_text_is_not_spoken(fleet):
    _, address = fleet
    with grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=2)


def test_a_code_is_for_a_name(fleet):
    folder, _ = fleet
    with pytest.raises(ConfigError, match="name"):
        admit(folder, "../camera", 60)
