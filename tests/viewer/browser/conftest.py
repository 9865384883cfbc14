"""A browser for each worker, a store for each purpose, and pages that must not complain."""

from contextlib import ExitStack

from playwright.sync_api import sync_playwright
import pytest

from runicorn_es import Store
from viewer import showroom
from viewer.looking import DESKTOP, chromium, served


@pytest.fixture(scope="package")
def browser():
    with sync_playwright() as playwright:
        started = chromium(playwright)
        yield started
        started.close()


@pytest.fixture(scope="package")
def shown(tmp_path_factory):
    """Return the address of a store that a function of the showroom fills; nobody changes it."""
    urls = {}
    with ExitStack() as stack:

        def url_of(fill):
            if fill not in urls:
                store = stack.enter_context(fill(tmp_path_factory.mktemp("shown") / "store"))
                store.stats()
                urls[fill] = stack.enter_context(served(store))
            return urls[fill]

        yield url_of


@pytest.fixture
def url(shown):
    return shown(showroom.fill)


@pytest.fixture
def mine(tmp_path):
    """A store of the test's own with some versions, and its address."""
    room = showroom.Showroom(tmp_path / "store")
    with room.run("train") as run:
        for number in range(3):
            draft = room.artifact("model", "model", {"weights.bin": 100, "b.txt": b"%d" % number})
            run.log_artifact(draft.add_metadata({"accuracy": 0.5 + number / 10}))
    with room.store, served(room.store) as address:
        yield room.store, address


@pytest.fixture
def empty(tmp_path):
    with Store(tmp_path / "store") as store, served(store) as address:
        yield address


@pytest.fixture
def visit(browser):
    """Open pages as somebody with this screen; in the end, none may have complained or asked elsewhere."""
    contexts, complaints = [], []

    def go(address, *, is_clean=True, **looks):
        context = new_context(browser, **looks)
        contexts.append(context)
        page = context.new_page()
        if is_clean:
            for event, hear in listeners(address, complaints).items():
                page.on(event, hear)
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="package")
def window(browser):
    context = new_context(browser)
    yield context.new_page()
    context.close()


@pytest.fixture
def look(window):
    """Open a page in a window that others have looked through, which costs half of a visit; for who only looks.

    The page may not complain or ask elsewhere, and nothing may be left for the next: no cookie, no setting.
    """
    complaints, heard = [], {}

    def go(address):
        assert not heard, "one page for each test"
        heard.update(listeners(address, complaints))
        for event, hear in heard.items():
            window.on(event, hear)
        window.set_viewport_size(DESKTOP)
        window.emulate_media(color_scheme="light")
        window.goto(address)
        return window

    yield go
    is_kept = window.evaluate("document.cookie.length + localStorage.length + sessionStorage.length")
    window.context.clear_cookies()
    window.evaluate("localStorage.clear(), sessionStorage.clear()")
    # What a page says when it is left is still its own.
    window.goto("about:blank")
    for event, hear in heard.items():
        window.remove_listener(event, hear)
    assert not is_kept
    assert not complaints


def new_context(browser, **looks):
    context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **looks})
    context.set_default_timeout(10_000)
    return context


def listeners(address, complaints):
    """Return what hears a page complain, or ask another origin than that of its address, by event."""
    origin = "/".join(address.split("/")[:3])
    return {
        "console": lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda asked: None if asked.url.startswith(origin) else complaints.append(asked.url),
    }
