"""The page in a real browser: what a visitor does with it."""

import shutil

import pytest
from PIL import Image as Pillow

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE = 120_000
"""Milliseconds until a step that should have been done long ago counts as failed."""
TOUCHABLE = 44
"""Height in pixels that a finger needs."""


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed; looked for {', '.join(BROWSERS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, headless=True, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, web):
    """Open the page in a window; give it and the addresses that it asked for."""
    windows = []

    def opened(**window):
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 860}} | window))
        windows.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(web.address)
        page.wait_for_selector("#run")
        return page, asked

    yield opened
    for context in windows:
        for page in context.pages:
            print(page.inner_text("body"))  # noqa: T201 (shown where a test fails)
        context.close()


@pytest.fixture
def files(tmp_path, cat, ducks):
    cat.resize((64, 48)).save(tmp_path / "cat.png")
    ducks.resize((60, 40)).save(tmp_path / "ducks.png")
    (tmp_path / "note.png").write_text("no picture at all")
    return tmp_path


def until(page, true):
    """Wait for something that no page shows."""
    for _ in range(PATIENCE // 250):
        if true():
            return
        page.wait_for_timeout(250)
    raise AssertionError("it did not come true")


def give(page, files):
    """Drop a content and a style."""
    page.set_input_files("#content input[type=file]", files / "cat.png")
    page.wait_for_selector("#content img")
    page.set_input_files("#styles input[type=file]", files / "ducks.png")
    page.wait_for_selector("#styles img")


def downloaded(page, button, folder):
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_visitor_restyles_a_picture_and_takes_it_home(visit, web, files, cat):
    page, asked = visit()
    give(page, files)
    page.click("#run")
    page.wait_for_selector("#result img")
    page.wait_for_selector("text=64 × 48 pixels")
    for suffix, form in (("png", "PNG"), ("jpg", "JPEG")):
        path = downloaded(page, f"#download-{suffix}", files)
        assert path.name == f"cat-styled.{suffix}"
        with Pillow.open(path) as result:
            assert (result.format, result.size) == (form, (64, 48))
            assert sum(abs(a - b) for a, b in zip(result.getpixel((32, 24)), cat.getpixel((64, 48)), strict=True)) > 10
    assert asked
    assert all(address.startswith((web.address, "data:", "blob:")) for address in asked)


def test_a_style_of_the_gallery_becomes_a_preset(visit, files):
    page, _ = visit()
    page.click("#shelf button:has(img) >> nth=0")
    page.wait_for_selector("#chosen :text('Hashiguchi Ducks')")
    page.click("#preset button >> nth=0")
    page.click("#save")
    page.wait_for_selector("#download-preset:visible")
    path = downloaded(page, "#download-preset", files)
    assert path.name == "hashiguchi-ducks.safetensors"
    page.set_input_files("#content input[type=file]", files / "cat.png")
    page.wait_for_selector("#content img")
    page.click("#shelf button:has(img) >> nth=0")
    page.wait_for_selector("#chosen :text('Hashiguchi Ducks')", state="detached")
    page.set_input_files("#presets input[type=file]", path)
    page.wait_for_selector("#presets :text('hashiguchi')")
    page.click("#run")
    page.wait_for_selector("text=64 × 48 pixels")


def test_what_is_no_picture_is_named_and_not_kept(visit, files):
    page, _ = visit()
    page.set_input_files("#content input[type=file]", files / "note.png")
    page.wait_for_selector("text=note.png is not a picture in a known format")
    page.wait_for_selector("#content :text('Click to Upload')")
    page.click("#run")
    page.wait_for_selector("text=no photograph given; drop one first")


def test_stop_ends_the_work(visit, files):
    page, _ = visit()
    give(page, files)
    page.click("#method input")
    page.click("text=gatys (slow: minutes)")
    page.wait_for_selector("#strength", state="hidden")
    page.click("#run")
    page.wait_for_selector("text=/iteration \\d+/")
    page.click("#stop")
    page.wait_for_selector("text=/iteration \\d+/", state="hidden")
    page.click("#method input")
    page.click("text=Painting (wct)")
    page.wait_for_selector("#strength", state="visible")
    page.click("#run")
    page.wait_for_selector("text=64 × 48 pixels")


def stroke(page, number, part):
    """Draw a broad stroke across a part of a picture's width."""
    canvas = page.locator(f"#editor-{number} canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * part[0], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * part[1], middle, steps=8)
    page.mouse.up()


def paint(page):
    """Paint a region on the content."""
    page.click("#paint")
    page.wait_for_selector("#editor-0 canvas")
    page.wait_for_timeout(1000)  # the canvas is drawn after it is there, and says nothing of it
    stroke(page, 0, (0.35, 0.65))
    page.wait_for_timeout(2000)  # the stroke is sent a moment after it is drawn, and nothing tells when


def test_painted_regions_are_carried_each_for_itself(visit, files):
    page, _ = visit()
    give(page, files)
    page.click("#regions button >> nth=0")
    paint(page)
    page.click("#run")
    page.wait_for_selector("text=64 × 48 pixels")
    page.wait_for_selector(".note li >> nth=1")  # a line for each region


def replace_content(page, files):
    page.click("#content button[aria-label='Remove Image']")
    page.set_input_files("#content input[type=file]", files / "ducks.png")


def choose_another_style(page, files):
    page.click("#shelf button:has(img) >> nth=0")
    page.wait_for_selector("#chosen :text('Hashiguchi Ducks')")  # what is run before that has no such style


def exchange_style(page, files):
    page.click("#styles button[aria-label='Delete image']")
    page.wait_for_selector("#editor-0", state="hidden")
    choose_another_style(page, files)


@pytest.mark.parametrize(
    ("change", "size"),
    [(replace_content, "60 × 40"), (choose_another_style, "64 × 48"), (exchange_style, "64 × 48")],
)
def test_a_painting_goes_with_its_picture(visit, files, change, size):
    page, _ = visit()
    give(page, files)
    page.click("#regions button >> nth=0")
    paint(page)
    change(page, files)
    page.wait_for_selector("#editor-0", state="hidden")
    page.click("#run")
    page.wait_for_selector(f"text={size} pixels")
    assert page.locator(".note li").count() == 0
    paint(page)
    page.click("#run")
    page.wait_for_selector(".note li >> nth=1")


def test_a_phone_has_one_column_and_room_for_fingers(visit, files):
    page, _ = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    content, result = page.locator("#content").bounding_box(), page.locator("#result").bounding_box()
    assert result["y"] > content["y"] + content["height"]
    assert content["width"] > 340
    for button in ("#run", "#stop"):
        assert page.locator(button).bounding_box()["height"] >= TOUCHABLE
    give(page, files)
    page.tap("#run")
    page.wait_for_selector("text=64 × 48 pixels")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_leaving_the_page_removes_the_files(visit, web, files, rng):
    own = files / "own.png"
    Pillow.fromarray(rng.integers(0, 255, (48, 64, 3), "uint8")).save(own)
    page, _ = visit()
    page.set_input_files("#content input[type=file]", own)
    page.wait_for_selector("#content img")
    until(page, lambda: any(path.name == "own.png" for path in web.sessions.uploads()))
    assert list(web.folder.rglob("own.png"))
    page.close()
    other, _ = visit()
    until(other, lambda: not list(web.folder.rglob("own.png")))  # the server notices at its next heartbeat
