"""The command: where it serves, what it says, how it ends."""

from importlib import resources
import json
from pathlib import Path
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from cli.test_documentation import EXAMPLES
from runicorn_es.cli import main
from runicorn_es.viewer import serving


@pytest.fixture
def started(template):
    """Start the command on the store, in a process; ended by Ctrl-C."""
    processes = []

    def start(*options: str) -> tuple[subprocess.Popen, dict[str, object]]:
        command = [sys.executable, "-c", "import sys; from runicorn_es.cli import main; sys.exit(main(sys.argv[1:]))"]
        arguments = ["viewer", "--storage", str(template), "--port", "0", "--json", *options]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, json.loads(process.stdout.readline())

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_says_where_it_is_and_ends_with_ctrl_c_though_somebody_follows(started):
    process, address = started()
    assert address.keys() == EXAMPLES["runicorn.viewer/1"].keys()
    assert address["token"] is None
    port = int(address["url"].rstrip("/").rpartition(":")[2])
    assert address["ssh"].startswith(f"ssh -L {port}:127.0.0.1:{port} ")
    with urllib.request.urlopen(f"{address['url']}artifacts") as page:
        assert b"resnet" not in page.read()
    with urllib.request.urlopen(f"{address['url']}events/stream") as stream:
        assert stream.readline() == b"retry: 2000\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) in {0, 130}


def test_at_another_address_it_wants_the_token_that_it_showed(started):
    _, address = started("--host", "0.0.0.0")
    url = f"http://127.0.0.1:{address['url'].rstrip('/').rpartition(':')[2]}/artifacts"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url)
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {address['token']}"})
    with urllib.request.urlopen(request) as page:
        assert page.status == 200


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(template, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["viewer", "--storage", str(template), "--port", str(port)]) == 2
    assert f"--port {port + 1}" in capsys.readouterr().err


def test_an_address_that_is_not_ours_and_a_weak_token_are_refused(template, capsys, monkeypatch):
    assert main(["viewer", "--storage", str(template), "--host", "192.0.2.1", "--port", "0"]) == 2
    assert "192.0.2.1" in capsys.readouterr().err
    monkeypatch.setenv(serving.TOKEN_VARIABLE, "secret")
    assert main(["viewer", "--storage", str(template), "--token", "--port", "0"]) == 2
    assert serving.TOKEN_VARIABLE in capsys.readouterr().err


def test_there_must_be_a_store(tmp_path, capsys):
    assert main(["viewer", "--storage", str(tmp_path / "none"), "--port", "0"]) == 2
    assert not (tmp_path / "none").exists()


def test_templates_and_static_files_are_part_of_the_package():
    folder = resources.files("runicorn_es.viewer")
    assert {"app.css", "app.js", "theme.js", "icon.svg"} <= {one.name for one in (folder / "static").iterdir()}
    assert "layout.html" in {one.name for one in (folder / "templates").iterdir()}
    # What the build takes: all that lies in the package.
    assert 'packages = ["runicorn_es"]' in (Path(__file__).parents[2] / "pyproject.toml").read_text()
