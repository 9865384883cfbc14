"""What one does in a page: search, copy, follow, change, choose a theme; by mouse and by keyboard."""

import re

from playwright.sync_api import expect

from viewer.looking import PHONE


def test_a_search_answers_while_one_types_and_the_address_keeps_up(visit, url):
    page = visit(f"{url}/artifacts")
    page.get_by_role("searchbox").press_sequentially("alias:production")
    expect(page.locator("main [role=status]")).to_contain_text("1 version found")
    expect(page).to_have_url(re.compile(r"q=alias%3Aproduction"))
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("alias:production")
    expect(page.locator("main [role=status]")).to_contain_text("1 version found")


def test_the_types_and_the_order_are_links(visit, url):
    page = visit(f"{url}/artifacts")
    page.get_by_role("link", name=re.compile("^dataset")).click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Name", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Name")
    expect(page.locator("tbody th").first).to_have_text("street-scenes")


def test_the_line_to_use_a_version_can_be_copied(visit, url):
    page = visit(f"{url}/artifacts/crossing-classifier/v7", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert 'use_artifact("crossing-classifier:v7")' in page.evaluate("navigator.clipboard.readText()")


def test_the_chosen_theme_stays(visit, url):
    page = visit(f"{url}/artifacts", color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Change between light and dark").click()
    assert page.evaluate(ground) != light
    page.goto(f"{url}/runs")
    assert page.evaluate(ground) != light


def test_the_first_tab_skips_to_the_content(visit, url):
    page = visit(f"{url}/artifacts")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_who_follows_the_log_sees_what_happens(visit, mine):
    store, url = mine
    page = visit(f"{url}/events")
    page.get_by_role("button", name="Follow").click()
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
    rows = page.locator("#log tr").count()
    store.alias("model:v2", "production")
    expect(page.locator("#log tr")).to_have_count(rows + 1)
    expect(page.locator("#log tr").first).to_contain_text("production")
    page.get_by_role("button", name="Follow").click()
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")


def test_an_alias_is_set_and_the_page_says_so(visit, mine):
    store, url = mine
    page = visit(f"{url}/artifacts/model/v2", viewport=PHONE)
    page.get_by_role("link", name="Set an alias").click()
    page.get_by_label("Alias").fill("production")
    page.get_by_role("button", name="Set the alias").click()
    expect(page.locator("main [role=status]")).to_be_visible()
    assert store.get("model:production").version == 2


def test_a_version_is_deleted_after_a_question_and_restored(visit, mine):
    store, url = mine
    page = visit(f"{url}/artifacts/model/v1")
    page.get_by_role("link", name="Delete", exact=True).click()
    assert len(store.versions("model")) == 3
    page.get_by_role("button").filter(has_text="Delete").click()
    expect(page.get_by_text("This version is deleted")).to_be_visible()
    assert len(store.versions("model")) == 2
    page.get_by_role("link", name="Restore").click()
    page.get_by_role("button").filter(has_text="Restore").click()
    expect(page.locator(".state.ready")).to_be_visible()
    assert len(store.versions("model")) == 3


def test_a_file_is_downloaded_as_it_is(visit, mine):
    _, url = mine
    page = visit(f"{url}/artifacts/model/v2/files")
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download b.txt").click()
    assert begun.value.suggested_filename == "b.txt"
    assert begun.value.path().read_bytes() == b"1"


def test_the_store_is_verified_from_the_page(visit, mine):
    _, url = mine
    page = visit(f"{url}/audit")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("main [role=status]")).to_contain_text("All is as it was written", timeout=10_000)


def test_the_slider_leads_to_the_same_page_as_it_was_and_back(visit, mine):
    store, url = mine
    before = sum(1 for _ in store.events())
    store.alias("model:v2", "production")
    page = visit(f"{url}/artifacts/model/v2")
    expect(page.locator("main .tag.alias").first).to_have_text("production")
    page.locator("[data-moments]").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('change')); }", before
    )
    expect(page.get_by_text(f"as of #{before}")).to_be_visible()
    expect(page.locator("main .tag.alias")).to_have_count(0)
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator("main .tag.alias").first).to_have_text("production")
