"""The viewer at a port of its own, and a real browser to look at it."""

from collections.abc import Iterator
from contextlib import contextmanager
import socket
from threading import Thread
import time

from playwright.sync_api import Browser, Playwright
import uvicorn

from runicorn_es import Store
from runicorn_es.viewer.app import Viewer
from runicorn_es.viewer.guard import Policy

CHROMIUM = "/usr/bin/chromium"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


@contextmanager
def served(store: Store, *, is_read_only: bool = False) -> Iterator[str]:
    """Serve a store from a thread of this process; yields the address."""
    viewer = Viewer(store, Policy(), is_read_only=is_read_only)
    server = uvicorn.Server(
        uvicorn.Config(viewer.asgi(), log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    )
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            viewer.tail.end()
            server.should_exit = True
            thread.join()


def chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium, which asks nobody for anything."""
    return playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=[
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    )
