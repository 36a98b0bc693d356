"""The web page's server as programs see it: its HTTP interface, its limits, and what it leaves behind."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image as Pillow

from universal_style.errors import InputError, OptionError
from universal_style.styles import Style
from universal_style.web.limits import Limits, read_picture, read_style, without_paths
from universal_style.web.paint import BRUSHES, MOST_BLOBS, Blobs, painted
from universal_style.web.server import serving
from universal_style.web.sessions import Sessions, StoppedError
from universal_style.web.shelf import Shelf
from universal_style.web.worker import Worker

GALLERY = "Hashiguchi Ducks"


@pytest.fixture
def files(tmp_path, cat, ducks):
    cat.resize((64, 48)).save(tmp_path / "cat.png")
    ducks.resize((60, 40)).save(tmp_path / "ducks.png")
    return tmp_path


@pytest.fixture(scope="module")
def client(web, tmp_path_factory):
    client = Client(web.address, verbose=False, analytics_enabled=False, download_files=tmp_path_factory.mktemp("down"))
    yield client
    client.close()


def sent(files, *names):
    return [handle_file(files / name) for name in names]


def transfer(client, files, **options):
    given = {"content": handle_file(files / "cat.png"), "styles": sent(files, "ducks.png")} | options
    return client.predict(**given, api_name="/transfer")


def pixels(path):
    with Pillow.open(path) as picture:
        return np.asarray(picture, dtype=float)


def refused(call):
    """Give the line that a client is told; no path of the server is in it."""
    with pytest.raises(Exception) as error:  # noqa: PT011 (the client's own kinds)
        call()
    line = str(error.value)
    assert "universal-style-web" not in line
    assert "Traceback" not in line
    return line


def test_a_program_gets_what_the_stylizer_gives(client, files, stylizer):
    path, report = transfer(client, files, strength=0.7)
    expected = stylizer.transfer(files / "cat.png", files / "ducks.png", alpha=[0.7])
    assert pixels(path).shape == (48, 64, 3)
    assert np.abs(pixels(path) - np.asarray(expected)).max() <= 2
    assert np.abs(pixels(path) - pixels(files / "cat.png")).mean() > 5
    assert report["method"] == "wct"
    assert set(report["options"]["alpha"]) == {0.7}
    assert "checkpoints" not in report


def test_masks_gallery_and_format(client, files):
    halves = np.zeros((48, 64, 3), np.uint8)
    halves[:, 32:] = (200, 0, 0)
    Pillow.fromarray(halves).save(files / "halves.png")
    path, report = transfer(
        client, files, styles=None, gallery=[GALLERY], suffix=".jpg", style_size=64, method="photo-wct",
        content_mask=handle_file(files / "halves.png"), style_masks=sent(files, "halves.png"), smooth="none",
    )  # fmt: skip
    with Pillow.open(path) as result:
        assert (result.format, result.size) == ("JPEG", (64, 48))
    assert len(report["regions"]) == 2
    assert report["options"]["smooth"] == "none"


def test_a_preset_stands_for_its_picture(client, files):
    path = client.predict(styles=sent(files, "ducks.png"), api_name="/save_preset")
    assert path.endswith("ducks.safetensors")
    assert Style.load(path).name == "ducks"
    by_preset, _ = transfer(client, files, styles=[handle_file(path)])
    by_picture, _ = transfer(client, files)
    assert np.abs(pixels(by_preset) - pixels(by_picture)).max() <= 2


def test_the_interface_is_documented(client):
    known = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert sorted(known) == ["/cancel", "/save_preset", "/transfer"]
    names = [parameter["parameter_name"] for parameter in known["/transfer"]["parameters"]]
    assert names[:4] == ["content", "styles", "gallery", "method"]


def bomb(path, width, height):
    """Write a PNG whose head promises more than its few bytes hold."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def text(path):
    path.write_text("no picture\n" * 99)


def large(path):
    Pillow.new("RGB", (400, 300)).save(path)


def pages(path):
    page = Pillow.new("RGB", (8, 8))
    page.save(path, "TIFF", save_all=True, append_images=[page])


def huge_preset(path):
    import torch
    from safetensors.torch import save_file

    from universal_style.styles import PRESET_KIND, PRESET_VERSION, encoder_digest

    parts = {"count": torch.ones(()), "mean": torch.zeros(200_000), "scatter": torch.zeros(3)}
    save_file(
        {f"max/relu1_1.{name}": part for name, part in parts.items()},
        path,
        {"kind": PRESET_KIND, "version": PRESET_VERSION, "encoder": encoder_digest(), "name": "huge"},
    )


BAD_FILES = {
    "text": ("note.png", text, "note.png is not a picture"),
    "too large": ("large.png", large, "large.png has 0.1 megapixels (400×300); this page takes up to 0.05"),
    "bomb": ("bomb.png", lambda path: bomb(path, 60_000, 60_000), "bomb.png unpacks to far more than 0.05"),
    "smaller bomb": ("bomb.png", lambda path: bomb(path, 9_000, 9_000), "bomb.png has 81.0 megapixels"),
    "empty": ("empty.png", lambda path: path.write_bytes(b""), "empty.png is not a picture"),
    "cut off": ("cut.png", lambda path: bomb(path, 64, 64), "cut.png cannot be read as a picture"),
    "pages": ("pages.tif", pages, "pages.tif has several pages"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_with_one_line(client, files, case):
    name, write, message = BAD_FILES[case]
    write(files / name)
    assert message in refused(lambda: transfer(client, files, content=handle_file(files / name)))


def test_bad_styles_are_refused_too(client, files):
    huge_preset(files / "huge.safetensors")
    text(files / "text.safetensors")
    for name, message in (("huge", "does not hold the moments"), ("text", "is not a readable preset")):
        line = refused(lambda name=name: transfer(client, files, styles=sent(files, f"{name}.safetensors")))
        assert f"{name}.safetensors {message}" in line
    assert "5 styles given" in refused(lambda: transfer(client, files, styles=sent(files, *["ducks.png"] * 5)))


BAD_OPTIONS = {
    "method": ({"method": "magic"}, "method 'magic' is unknown"),
    "method that is a file": ({"method": "/etc/net.safetensors"}, "is unknown"),
    "gallery": ({"gallery": ["../../etc/passwd"]}, "is unknown"),
    "strength": ({"strength": 2}, "alpha 2 is out of range"),
    "no number": ({"strength": "much"}, "a number is needed"),
    "styles enlarged": ({"style_size": 600}, "ducks.png seen at 600 would have 0.2 megapixels (600×400); this page"),
    "a gallery's style enlarged": ({"styles": None, "gallery": [GALLERY], "style_size": 600}, "seen at 600 would have"),
    "style size": ({"style_size": -5}, "style-size -5 is out of range"),
    "regions": ({"regions": 99}, "auto-regions 99 is out of range"),
    "format": ({"suffix": ".exe"}, "use one of"),
    "format with a path": ({"suffix": "/../../x.png"}, "use one of"),
    "no content": ({"content": None}, "no photograph given"),
    "no style": ({"styles": None}, "no style given"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_refused_with_one_line(client, files, case):
    options, message = BAD_OPTIONS[case]
    assert message in refused(lambda: transfer(client, files, **options))


def test_a_style_kept_as_a_preset_is_not_enlarged_past_the_limit(client, files):
    def kept(**options):
        return client.predict(**({"styles": sent(files, "ducks.png")} | options), api_name="/save_preset")

    assert "ducks.png seen at 600 would have 0.2 megapixels" in refused(lambda: kept(style_size=600))
    assert "seen at 600 would have" in refused(lambda: kept(styles=None, gallery=[GALLERY], style_size=600))
    for size in (-5, 1e6):
        assert f"style-size {size:.0f} is out of range" in refused(lambda size=size: kept(style_size=size))
    assert kept(style_size=64).endswith("ducks.safetensors")


FORGED = {
    "a path": "/etc/passwd",
    "a path as a file": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    "a path without its mark": {"path": "/etc/passwd"},
    "a path that climbs": "{folder}/../../etc/passwd",
    "an address": {"path": "http://192.0.2.1/cat.png", "meta": {"_type": "gradio.FileData"}},
    "a picture in an address": {"path": "x.png", "url": "data:image/png;base64,AAAA"},
    "a number": 7,
}


@pytest.mark.parametrize("case", FORGED)
def test_what_was_not_uploaded_is_refused(client, files, case):
    refused(lambda: transfer(client, files, content=FORGED[case]))
    with httpx.Client(base_url=client.src) as http:
        event = http.post(
            "gradio_api/call/transfer",
            json={"data": [FORGED[case], None, [GALLERY], "wct", 1, "none", "", 0, 0, None, None, ".png"]},
        ).json()["event_id"]
        answer = http.get(f"gradio_api/call/transfer/{event}").text
    assert "event: error" in answer
    assert "root:" not in answer
    assert "Traceback" not in answer


def test_files_of_the_server_are_not_handed_out(web, monkeypatch, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    with httpx.Client(base_url=web.address, timeout=20) as http:
        for name in ("/etc/passwd", "/proc/self/environ", str(tmp_path / "secret.txt"), "pyproject.toml"):
            assert http.get(f"gradio_api/file={name}").status_code in (403, 404)
        for name in ("http://192.0.2.1/x", "https://192.0.2.1/x"):
            assert http.get(f"gradio_api/file={name}").status_code == 403
        assert http.get("openapi.json").status_code == 404


def test_a_file_with_too_many_bytes_is_refused(web, tmp_path):
    with httpx.Client(base_url=web.address) as http:
        answer = http.post("gradio_api/upload", files={"files": ("big.png", bytes(2**24 + 1))})
    assert answer.status_code == 413
    assert "exceeded maximum allowed size of 16777216 bytes" in answer.text
    assert not [path for path in web.folder.rglob("*") if path.is_file() and path.stat().st_size > 2**23]


def test_cancel_stops_the_work_and_frees_the_device(client, files):
    job = client.submit(
        content=handle_file(files / "cat.png"), styles=sent(files, "ducks.png"), method="gatys", api_name="/transfer"
    )
    while not any("iteration" in str(unit.desc) for unit in job.status().progress_data or ()):
        assert not job.done()
    client.predict(api_name="/cancel")
    assert "stopped; nothing was kept" in refused(lambda: job.result(timeout=60))
    path, _ = transfer(client, files)
    with Pillow.open(path) as result:
        assert result.size == (64, 48)


def test_many_clients_wait_in_line_and_no_more_than_allowed(web, files):
    """The line holds 4; whoever comes then is told so, and the others get their picture."""
    clients = [Client(web.address, verbose=False, analytics_enabled=False) for _ in range(7)]

    def one(client):
        try:
            transfer(client, files)
        except Exception as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(len(clients)) as pool:
        ends = list(pool.map(one, clients))
    for client in clients:
        client.close()
    assert ends.count("done") >= 4
    assert all(end == "done" or "Queue is full" in end for end in ends)


def test_a_visit_leaves_nothing(web, files):
    before = {path for path in web.folder.rglob("*") if path.is_file()}
    client = Client(web.address, verbose=False, analytics_enabled=False)
    name = client.session_hash
    picture = Pillow.new("RGB", (64, 48), "teal")
    picture.putpixel((0, 0), (1, 2, 3))  # no other visit holds this one
    picture.save(files / "own.png")
    transfer(client, files, content=handle_file(files / "own.png"))
    during = {path for path in web.folder.rglob("*") if path.is_file()} - before
    assert {path.name for path in during} >= {"own.png", "own-styled.png"}
    client.close()
    web.sessions.leave(name)
    left = {path for path in web.folder.rglob("*") if path.is_file()} - before
    assert not {path.name for path in left} & {"own.png", "own-styled.png"}


def test_a_server_that_is_ended_leaves_nothing(files, tmp_path):
    """The whole command, in a process of its own: its temporary folder is as empty after as before."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "universal_style", "serve", "--port", "0", "--device", "cpu", "--dtype", "float32"],
        env=clean | {"TMPDIR": str(folder)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = process.stderr.readline().split()[0]
        client = Client(address, verbose=False, analytics_enabled=False, download_files=tmp_path / "down")
        path, _ = transfer(client, files)
        with Pillow.open(path) as result:
            assert result.size == (64, 48)
        assert "cat.png" in {path.name for path in folder.rglob("*")}
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.stderr.close()
        process.wait()
    assert list(folder.rglob("*")) == []


def test_what_all_visitors_see_is_not_taken_and_not_removed(web):
    """Over plain HTTP, since the client uploads what it finds at a path."""
    (thumbnail,) = web.folder.rglob("style-0.jpg")
    forged = {"path": str(thumbnail), "meta": {"_type": "gradio.FileData"}}
    with httpx.Client(base_url=web.address) as http:
        event = http.post(
            "gradio_api/call/transfer",
            json={
                "data": [forged, None, [GALLERY], "wct", 1, "none", "", 0, 0, None, None, ".png"],
                "session_hash": "thief",
            },
        ).json()["event_id"]
        answer = http.get(f"gradio_api/call/transfer/{event}").text
        assert "event: error" in answer
        assert thumbnail not in web.sessions.of("thief").uploads
        web.sessions.leave("thief")
        assert thumbnail.exists()
        assert http.get(f"gradio_api/file={thumbnail}").status_code == 200


def test_sessions_hold_what_they_brought(tmp_path):
    sessions = Sessions(tmp_path)
    one, other = sessions.of("one"), sessions.of("other")
    hashed, gallery = tmp_path / ("ab" * 32), tmp_path / "gallery"
    upload, thumbnail = hashed / "cat.png", gallery / "style-0.jpg"
    made, other_made = (visit.room / "cat-styled.png" for visit in (one, other))
    for path in (upload, thumbnail, made, other_made):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (hashed / "link.png").symlink_to("/etc/passwd")
    (hashed / "folder").mkdir()
    assert sessions.brought(one, {"path": str(upload)}) == upload
    assert sessions.brought(one, {"path": str(made)}) == made
    sessions.brought(other, {"path": str(upload)})
    for forged in (
        "/etc/passwd", thumbnail, other_made, tmp_path / "stray.png", hashed / "link.png", hashed / "folder",
        one.room / ".." / "gallery" / "style-0.jpg", hashed / ".." / "x", hashed, tmp_path, "",
    ):  # fmt: skip
        with pytest.raises(InputError):
            sessions.brought(one, {"path": str(forged)})
    sessions.leave("one")
    assert upload.exists()
    assert not made.exists()
    with pytest.raises(StoppedError):
        one.check()
    sessions.leave("other")
    assert sorted(path.name for path in hashed.iterdir()) == ["folder", "link.png"]
    assert sorted(tmp_path.iterdir()) == [hashed, gallery]
    assert thumbnail.exists()


def test_a_new_result_takes_the_place_of_the_old_one_and_of_nothing_else(tmp_path):
    visit = Sessions(tmp_path).of("one")
    preset = visit.room / "pond.safetensors"
    preset.write_bytes(b"x")
    old = visit.emptied("result") / "old-styled.png"
    old.write_bytes(b"x")
    assert list(visit.emptied("result").iterdir()) == []
    assert preset.exists()


def test_who_leaves_takes_no_upload_along_that_another_is_just_making(tmp_path):
    """The same picture lies at the same path; the server hears of a leaving up to a heartbeat later."""
    sessions = Sessions(tmp_path)
    upload = tmp_path / ("ab" * 32) / "cat.png"
    upload.parent.mkdir()

    def uploaded():
        (tmp_path / "arriving").write_bytes(b"x")
        (tmp_path / "arriving").rename(upload)
        return {"path": str(upload)}

    one, other = sessions.of("one"), sessions.of("other")
    sessions.brought(one, uploaded())
    sent = uploaded()
    sessions.leave("one")
    assert upload.exists()
    sessions.brought(other, sent)
    third = sessions.of("third")
    sessions.brought(third, uploaded())
    sessions.leave("third")
    assert upload.exists()
    sessions.leave("other")
    assert not upload.exists()


class Slow(Worker):
    """Works for a minute unless it is stopped; its other results do not matter."""

    def __init__(self):
        super().__init__("cpu", "float32")
        self.at_work = threading.Event()
        self.stopped = False

    def transfer(self, content, styles, order, content_mask, style_masks, progress):
        self.at_work.set()
        end = time.monotonic() + 60
        try:
            while time.monotonic() < end:
                progress("iteration", 1, 2)
                time.sleep(0.05)
        except StoppedError:
            self.stopped = True
            raise


def test_a_server_that_ends_stops_its_work(files):
    """Asked by plain HTTP, which keeps no connection whose end would tell of the visitor's leaving."""
    worker = Slow()
    with serving(worker, Limits(), port=0) as server, httpx.Client(base_url=server.address, timeout=30) as http:
        (path,) = http.post("gradio_api/upload", files={"files": ("cat.png", (files / "cat.png").read_bytes())}).json()
        content = {"path": path, "meta": {"_type": "gradio.FileData"}}
        data = [content, None, [GALLERY], "gatys", 1, "none", "", 0, 0, None, None, ".png"]
        http.post("gradio_api/call/transfer", json={"data": data}).raise_for_status()
        assert worker.at_work.wait(30)
    worker.do(lambda: None)  # its thread is free
    assert worker.stopped


def test_a_server_that_ends_lets_no_work_begin(tmp_path):
    sessions = Sessions(tmp_path)
    working = sessions.begun("one")
    sessions.stop("one")
    assert sessions.begun("one") is working
    working.check()
    sessions.end()
    for name in ("one", "another"):
        with pytest.raises(StoppedError, match="the server ends"):
            sessions.begun(name)
    with pytest.raises(StoppedError, match="nothing was kept"):
        working.check()


def stroke(width, height, box, colour):
    layer = Pillow.new("RGBA", (width, height), (0, 0, 0, 0))
    layer.paste(colour, box)
    return layer


def test_strokes_become_a_mask(tmp_path):
    orange, blue = (tuple(int(brush[i : i + 2], 16) for i in (1, 3, 5)) for brush in BRUSHES[:2])
    stroke(40, 30, (0, 0, 20, 30), (*orange, 255)).save(tmp_path / "one.png")
    soft = stroke(40, 30, (10, 0, 15, 30), (blue[0], blue[1] + 9, blue[2] - 9, 140))
    soft.paste((*blue, 90), (30, 0, 40, 30))
    soft.save(tmp_path / "two.png")
    mask = painted([tmp_path / "one.png", (tmp_path / "two.png").read_bytes()], Limits())
    assert mask.shape == (30, 40, 3)
    assert [tuple(mask[5, x]) for x in (5, 12, 17, 25, 35)] == [orange, blue, orange, (0, 0, 0), (0, 0, 0)]
    assert painted([], Limits()) is None
    Pillow.new("RGBA", (40, 30)).save(tmp_path / "none.png")
    assert painted([tmp_path / "none.png"], Limits()) is None
    with pytest.raises(InputError, match="cannot be read"):
        painted([b"no picture"], Limits())
    with pytest.raises(InputError, match="megapixels"):
        painted([tmp_path / "one.png"], Limits(megapixels=0.001))


def test_paintings_that_nobody_asks_for_are_forgotten():
    blobs = Blobs()
    for number in range(MOST_BLOBS + 10):
        blobs[str(number)] = number
    assert len(blobs) == MOST_BLOBS
    assert "0" not in blobs
    assert blobs.layers("never sent") == []


def test_the_shelf_offers_pictures_and_presets(tmp_path, ducks, stylizer):
    ducks.save(tmp_path / "old-pond.jpg")
    stylizer.observe(ducks).save(tmp_path / "old-pond.safetensors")
    stylizer.observe(ducks).save(tmp_path / "alone.safetensors")
    (tmp_path / "._old-pond.jpg").write_bytes(b"what macOS keeps of a file")
    (tmp_path / "folder.jpg").mkdir()
    shelf = Shelf.of([tmp_path])
    assert shelf.named("Old Pond").suffix == ".safetensors"
    assert {"Alone", "Old Pond", GALLERY, "Van Gogh Starry Night"} <= set(shelf.styles)
    assert not {"Chelsea Cat"} & set(shelf.styles)
    squares = shelf.squares(tmp_path)
    assert len(squares) == len(shelf.styles)
    for path, _ in squares:
        with Pillow.open(path) as square:
            assert square.size == (320, 320)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no style in"):
        Shelf.of([tmp_path / "empty"])


def test_limits(tmp_path, cat):
    with pytest.raises(OptionError, match="most-megapixels 0 is out of range"):
        Limits(megapixels=0)
    with pytest.raises(OptionError, match="queue 0 is out of range"):
        Limits(queue=0)
    cat.save(tmp_path / "cat.png")
    assert read_picture(tmp_path / "cat.png", Limits()).width == 128
    assert read_style(tmp_path / "cat.png", Limits()).width == 128
    with pytest.raises(InputError, match="gone.png is no longer here"):
        read_picture(tmp_path / "gone.png", Limits())
    assert without_paths("/tmp/a b/x.png is\nbad at 3/4 of /var/y.png") == "a b/x.png is bad at 3/4 of y.png"


def test_serve_refuses_wrong_usage(command_line, tmp_path):
    for name in ("text", "cut"):
        (tmp_path / name).mkdir()
    text(tmp_path / "text" / "note.jpg")
    bomb(tmp_path / "cut" / "cut.png", 64, 64)
    for arguments, code, message in (
        (["--port", "70000"], 2, "port 70000 is out of range"),
        (["--port", "-1"], 2, "port -1 is out of range"),
        (["--presets", str(tmp_path / "text")], 1, "note.jpg is not a picture in a known format"),
        (["--presets", str(tmp_path / "cut")], 1, "cut.png cannot be read as a picture"),
        (["--most-megapixels", "0"], 2, "most-megapixels 0 is out of range"),
        (["--presets", str(tmp_path)], 1, "no style in"),
        (["--host", "192.0.2.1"], 2, "cannot be listened at"),
    ):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            ended, output = command_line("serve", "--port", "0", *arguments)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        assert ended == code
        assert message in output.err
        assert output.err.count("\n") == 1
