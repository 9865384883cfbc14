"""What holds for each page: on a desktop and a phone, in light and dark, and in whatever state the store is."""

from axe_playwright_python.sync_playwright import Axe
import pytest

from viewer import showroom
from viewer.looking import DESKTOP, PHONE

MODEL = "/artifacts/crossing-classifier"
PAGES = [
    "/artifacts",
    "/artifacts?q=accuracy%3E%3D0.9&limit=9",
    "/artifacts?type=nothing",
    MODEL,
    f"{MODEL}/v1",
    "/artifacts/sweep-candidate/v2",
    "/artifacts/street-scenes/v3/files",
    "/artifacts/street-scenes/v3/files?folder=train",
    "/artifacts/street-scenes/v3/preview?path=labels.csv",
    "/artifacts/street-scenes/v3/preview?path=preview.png",
    f"{MODEL}/v7/preview?path=config.json",
    f"{MODEL}/versions?plot=accuracy&columns=accuracy,loss",
    f"{MODEL}/v7/lineage",
    "/artifacts/street-scenes/v3/lineage?depth=0",
    "/change/alias?spec=crossing-classifier%3Av7",
    "/change/delete?spec=crossing-classifier%3Av7",
    "/compare?old=crossing-classifier%3Av6&new=crossing-classifier%3Av7",
    f"{MODEL}/v2?as_of=%23150",
    "/runs?limit=9",
    "/events?limit=9",
    "/events/4",
    "/audit",
    "/storage",
]
ERRORS = ["/artifacts/crossing-clasifier", "/nowhere"]
BY_TROUBLE = [
    "/artifacts",
    "/artifacts/attacked",
    "/artifacts/attacked/v1/files",
    "/artifacts/attacked/v1/preview?path=page.html",
    "/artifacts/attacked/v1/preview?path=image.svg",
    "/artifacts/attacked/versions",
    "/artifacts/attacked/v1/lineage",
    f"/artifacts/{showroom.LONG_NAME}",
    f"/artifacts/{showroom.LONG_NAME}/v1/files",
    f"/artifacts/{showroom.LONG_NAME}/v1/lineage",
    f"/change/alias?spec={showroom.LONG_NAME}%3Av1",
    "/runs?limit=9",
    "/events?limit=9",
    "/storage",
]


def faults(page, only=None):
    """Return what axe finds wrong with a page, by all of its rules or only these."""
    rules = {"runOnly": only} if only else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
    return [(fault["id"], node["html"][:200]) for fault in found for node in fault["nodes"]]


def is_wider_than_the_screen(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_in_light_and_dark_and_fits_a_phone(look, url, path):
    page = look(url + path)
    assert page.locator("h1").count() == 1
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    assert faults(page, only=["color-contrast"]) == []
    page.set_viewport_size(PHONE)
    assert not is_wider_than_the_screen(page)


@pytest.mark.parametrize("path", ERRORS)
def test_an_error_is_a_page_that_leads_on(visit, url, path):
    page = visit(url + path, is_clean=False)
    assert faults(page) == []
    assert page.get_by_role("link", name="All artifacts").is_visible()
    page.set_viewport_size(PHONE)
    assert not is_wider_than_the_screen(page)


@pytest.mark.parametrize("path", BY_TROUBLE)
def test_what_users_wrote_is_text_and_fits(visit, shown, path):
    page = visit(shown(showroom.fill_with_trouble) + path)
    dialogs = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message) or dialog.dismiss())
    assert "stolen" not in page.title()
    assert page.locator("main script, main b, main img[onerror], main iframe").count() == 0
    assert page.locator("a[href^='javascript:' i]").count() == 0
    assert dialogs == []
    assert not is_wider_than_the_screen(page)
    page.set_viewport_size(PHONE)
    assert not is_wider_than_the_screen(page)


@pytest.mark.parametrize("path", ["/artifacts", "/runs", "/events", "/audit", "/storage"])
def test_an_empty_store_says_what_to_do(look, empty, path):
    page = look(empty + path)
    assert faults(page) == []
    page.set_viewport_size(PHONE)
    assert not is_wider_than_the_screen(page)


@pytest.mark.parametrize("path", ["/artifacts", f"{MODEL}/v7/lineage", "/events"])
def test_a_page_is_whole_without_scripts(visit, url, path):
    page = visit(url + path, java_script_enabled=False)
    assert page.locator("main a").count() > 3
    assert page.locator("[data-copy]:visible, [data-theme-toggle]:visible, [data-tail-toggle]:visible").count() == 0


def test_axe_sees_what_is_wrong(visit, url):
    page = visit(f"{url}/artifacts")
    page.evaluate(
        """document.querySelector("main").insertAdjacentHTML("beforeend", "<img src='/static/icon.svg'><input>")"""
    )
    assert {rule for rule, _ in faults(page)} >= {"image-alt", "label"}


def test_a_page_that_is_too_wide_is_seen(visit, url):
    page = visit(f"{url}/artifacts", viewport=PHONE)
    assert not is_wider_than_the_screen(page)
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<canvas width=900></canvas>')")
    assert is_wider_than_the_screen(page)


def test_a_script_in_a_page_is_not_run(visit, url):
    page = visit(f"{url}/artifacts", is_clean=False, viewport=DESKTOP)
    page.evaluate(
        """() => {
            const one = document.createElement("script");
            one.textContent = "document.title = 'stolen'";
            document.body.append(one);
        }"""
    )
    assert page.title() != "stolen"
