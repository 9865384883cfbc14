"""Take pictures of the viewer's pages; argument: the folder for them. Run by tools/screenshots."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from viewer import showroom
from viewer.looking import PHONE, chromium, served

MODEL = "/artifacts/crossing-classifier"
PAGES = {
    "artifacts": "/artifacts",
    "version": f"{MODEL}/v7",
    "files": "/artifacts/street-scenes/v3/files",
    "history": f"{MODEL}/versions?plot=accuracy&columns=accuracy,loss",
    "lineage": "/artifacts/street-scenes/v3/lineage?depth=0",
    "compare": "/compare?old=crossing-classifier%3Av6&new=crossing-classifier%3Av7",
    "runs": "/runs",
    "run": "",
    "events": "/events",
    "audit": "/audit",
    "storage": "/storage",
    "past": f"{MODEL}/v2?as_of=%23150",
}
SCREEN = {"width": 1280, "height": 720}
IN_THE_DARK = ("lineage", "history")
ON_A_PHONE = ("artifacts", "lineage")


def main() -> None:
    """Take all pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        begin = datetime.now(UTC) - timedelta(days=25)
        store = showroom.fill(Path(place) / "store", begin)
        store.stats()
        browser = chromium(playwright)
        with served(store) as url:
            run = next(row.run for row in store.runs() if row.name == "quantize")
            pages = PAGES | {"run": f"/runs/{run}"}
            for name, path in pages.items():
                shoot(browser, url + path, folder / f"{name}.png")
            for name in IN_THE_DARK:
                shoot(browser, url + pages[name], folder / f"{name}-dark.png", color_scheme="dark")
            for name in ON_A_PHONE:
                shoot(browser, url + pages[name], folder / f"{name}-phone.png", viewport=PHONE)
        browser.close()
        store.close()


def shoot(browser: Browser, url: str, target: Path, **looks: Any) -> None:
    """Take one picture of a page, once nothing moves in it any more."""
    context = browser.new_context(**{"viewport": SCREEN, "reduced_motion": "reduce", **looks})
    page = context.new_page()
    page.goto(url)
    for _ in range(20):
        if "is being counted" not in page.content():
            break
        time.sleep(0.1)
        page.reload()
    page.screenshot(path=target)
    context.close()


if __name__ == "__main__":
    main()
