"""The drawing in a real browser: where it opens, how one moves in it, and what it shows of where things came from."""

from playwright.sync_api import expect
import pytest

from viewer import showroom
from viewer.looking import PHONE

PATH = "/artifacts/crossing-classifier/v6/lineage?depth=0"


def view(page):
    return [float(number) for number in page.locator("svg.lineage").get_attribute("viewBox").split()]


def middle(box):
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("screen", [{"width": 1280, "height": 800}, PHONE])
def test_a_drawing_that_does_not_fit_opens_with_the_focus_in_the_middle_and_readable(visit, url, screen):
    page = visit(url + PATH, viewport=screen)
    x, y = middle(page.locator(".shape.focus .body").bounding_box())
    wanted_x, wanted_y = middle(page.locator("svg.lineage").bounding_box())
    assert abs(x - wanted_x) < 2
    assert abs(y - wanted_y) < 2
    assert page.locator(".shape.focus .body").bounding_box()["width"] > 170


def test_buttons_and_keys_zoom_and_go_back(visit, url):
    page = visit(url + PATH)
    opened = view(page)
    page.get_by_role("button", name="Zoom in").click()
    assert view(page)[2] < opened[2]
    page.get_by_role("button", name="Show all").click()
    assert view(page)[2] > opened[2]
    page.get_by_role("button", name="Back to this version").click()
    assert view(page) == pytest.approx(opened)
    page.keyboard.press("-")
    assert view(page)[2] > opened[2]
    page.keyboard.press("f")
    page.keyboard.press("ArrowRight")
    assert view(page)[0] > opened[0]


def test_dragging_moves_the_drawing_and_is_no_click(visit, url):
    page = visit(url + PATH)
    opened, address = view(page), page.url
    x, y = middle(page.locator(".shape.focus .body").bounding_box())
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y - 40, steps=4)
    page.mouse.up()
    assert view(page)[0] > opened[0]
    assert page.url == address


def test_the_wheel_scrolls_the_page_until_one_takes_hold_of_the_drawing(visit, url):
    page = visit(url + PATH)
    opened = view(page)
    page.mouse.move(*middle(page.locator("svg.lineage").bounding_box()))
    page.mouse.wheel(0, 60)
    assert view(page)[2] == pytest.approx(opened[2])
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    page.keyboard.up("Control")
    page.wait_for_function(
        "width => document.querySelector('svg.lineage').viewBox.baseVal.width < width - 1", arg=opened[2]
    )


def test_pointing_at_a_shape_lights_what_it_came_from_and_what_came_of_it(visit, url):
    page = visit(url + PATH)
    page.locator("a.shape", has_text="quantize").hover()
    expect(page.locator("svg.is-traced")).to_be_visible()
    expect(page.locator("a.shape.is-lit", has_text="crossing-classifier:v5")).to_have_count(1)
    expect(page.locator("a.shape.is-lit", has_text="crossing-classifier-int8")).to_have_count(1)
    expect(page.locator("a.shape:not(.is-lit)", has_text="evaluate")).not_to_have_count(0)
    page.get_by_role("heading", level=1).hover()
    expect(page.locator("svg.is-traced")).to_have_count(0)


def test_tab_reaches_every_shape_brings_it_into_sight_and_enter_goes_there(visit, url):
    page = visit(url + PATH)
    page.get_by_role("button", name="Back to this version").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    at = page.locator("a.shape:focus")
    frame, box = page.locator("svg.lineage").bounding_box(), at.locator(".body").bounding_box()
    assert frame["x"] <= box["x"]
    assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    wanted = at.get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{wanted}")


def test_siblings_lead_to_all_of_them(visit, url):
    page = visit(f"{url}/artifacts/street-scenes/v3/lineage")
    one = page.locator("a.shape.several").first
    assert "runs" in one.get_attribute("aria-label")
    shapes = page.locator("a.shape").count()
    one.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**siblings=true**")
    assert page.locator("a.shape").count() > shapes + 10
    assert page.locator("a.shape.several").count() == 0


def test_the_drawing_is_there_in_words(visit, url):
    page = visit(url + PATH)
    page.get_by_text("The same in words").click()
    said = page.locator("details li")
    assert said.count() == page.locator("a.shape.run").count()
    expect(said.filter(has_text="quantize")).to_contain_text("crossing-classifier-int8:v1")


def test_what_became_of_things_is_written_in_their_boxes(visit, url):
    page = visit(f"{url}/artifacts/street-scenes/v2/lineage?depth=0&siblings=true")
    expect(page.locator("a.shape.failed .note").first).to_contain_text("failed")


def test_three_hundred_boxes_can_be_seen_at_once_and_moved(visit, shown):
    page = visit(f"{shown(showroom.fill_with_many)}/artifacts/wide/v1/lineage?depth=0&siblings=true&limit=2000")
    assert page.locator("a.shape").count() == 300
    page.get_by_role("button", name="Show all").click()
    frame = page.locator("svg.lineage").bounding_box()
    first = page.locator("a.shape").last.bounding_box()
    assert frame["x"] <= first["x"] <= frame["x"] + frame["width"]


def test_without_scripts_the_drawing_scrolls_in_its_frame(visit, url):
    page = visit(url + PATH, java_script_enabled=False, viewport=PHONE)
    assert page.locator(".graph > .view").bounding_box()["width"] <= PHONE["width"]
    assert page.locator("svg.lineage").bounding_box()["width"] > PHONE["width"]
