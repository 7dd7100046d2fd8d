"""The README's commands, run from a clean clone, give the answers that it shows."""

import doctest
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PORT = "8000"
SAME = doctest.OutputChecker()


def commands():
    """(command, the output shown), in their order."""
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:[^'\n]|'[^']*')*", entry)[0]
            yield command, entry[len(command) + 1 :]


@pytest.fixture
def clone():
    """A clean clone, started like a newcomer starts it, with its own port; and what runs a command in it."""
    folder = Path(tempfile.mkdtemp(prefix="salesengine-readme-"))
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    inherited = {"PATH", "HOME", "LANG", "PIP_INDEX_URL", "PIP_CERT", "PIP_FIND_LINKS", "SSL_CERT_FILE"}
    environment = {name: value for name, value in os.environ.items() if name in inherited} | {"PORT": port}
    started = []

    def run(command):
        line = command.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{port}")
        options = {"cwd": folder / "clone", "env": environment, "text": True, "shell": True}
        if command.startswith("bin/start"):
            server = subprocess.Popen(
                f"exec {line}", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options
            )
            started.append(server)
            said = "".join(iter(server.stdout.readline, "Ctrl-C stops it.\n"))
            assert f"http://127.0.0.1:{port}/docs" in said
            return ""
        return subprocess.run(line, check=True, stdout=subprocess.PIPE, timeout=600, **options).stdout

    yield run
    for server in started:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_readme_has_commands():
    assert [command.split()[0] for command, _ in commands()][:3] == ["bin/start", "bin/test", "curl"]


@pytest.mark.slow
def test_every_command_gives_what_the_readme_shows(clone):
    for command, shown in commands():
        if command.startswith("bin/test"):
            continue  # this is one of its tests
        output = clone(command)
        assert SAME.check_output(shown, output, doctest.ELLIPSIS), f"$ {command}\n{output}"
