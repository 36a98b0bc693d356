import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from universal_style import cli
from universal_style.drivers.steady import Steady
from universal_style.errors import InputError, OptionError, OutputError
from universal_style.images import Image
from universal_style.moments import Moments
from universal_style.networks.stage import Site
from universal_style.video import unfinished
from universal_style.video.cuts import Scene
from universal_style.video.films import Film
from universal_style.video.run import restyle
from universal_style.video.sources import clip_named
from universal_style.video.targets import target_named

BASE = Fraction(1, 12800)
TICKS = 512
FRAMES = 12
UNEVEN = [0, 512, 700, 1500, 3000, 3001, 9000, 9600, 9700, 12000, 12800, 20000]


def waves(number, height=48, width=64):
    """A pattern that moves."""
    y, x = np.mgrid[:height, :width]
    red, green = 128 + 100 * np.sin((x + number) / 9), 128 + 90 * np.cos((y - number) / 7)
    return np.stack([red, green, np.full_like(red, 60)], axis=-1).astype(np.uint8)


def make_film(path, frames, at=None, sound=True, pixels="yuv420p", colours=(2, 0), rate=25):
    """Write frames (arrays) as H.264, with a second of sound."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=rate, options={"crf": "10"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pixels
        video.time_base = video.codec_context.time_base = BASE
        matrix, levels = colours
        video.codec_context.colorspace, video.codec_context.color_range = matrix, levels
        if sound:
            audio = out.add_stream("aac", rate=16000)
            audio.layout = "mono"
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame = frame.reformat(
                format=pixels, dst_colorspace=matrix if matrix != 2 else 5, dst_color_range=levels or 1
            )
            frame.colorspace, frame.color_range = matrix, levels
            frame.pts, frame.time_base = at[number] if at else number * TICKS, BASE
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound:
            tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
            samples = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 16000, 0
            out.mux(audio.encode(samples))
            out.mux(audio.encode(None))
    return path


def decoded(path):
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return make_film(tmp_path_factory.mktemp("film") / "clip.mp4", [waves(n) for n in range(FRAMES)])


@pytest.fixture(scope="module")
def style(tmp_path_factory, ducks):
    path = tmp_path_factory.mktemp("style") / "ducks.png"
    ducks.save(path)
    return path


def run(stylizer, source, style, output, steady=1.0, rate=None, codec=None, **options):
    options = {"levels": [2, 1]} | options
    return restyle(
        stylizer, clip_named(Path(source), rate), [style], target_named(Path(output), codec), steady=steady, **options
    )


# the steady look


def test_a_steady_fit_hands_on_the_faded_sum_of_all_pictures(rng):
    first, second = (Moments.of(torch.from_numpy(rng.normal(size=(3, 20)) + shift)) for shift in (0, 2))
    site, handed = Site("relu1_1", "max", 1, 1), []

    def inner(_, content):
        handed.append(content)
        return []

    seen, later = {}, {}
    Steady(inner, {}, 0.5, seen)(site, [first])
    Steady(inner, seen, 0.5, later)(site, [second])
    assert torch.equal(handed[0][0].mean, first.mean)
    assert torch.equal(handed[0][0].scatter, first.scatter)
    expected = (0.5 * 20 * first.mean + 20 * second.mean) / 30
    assert torch.allclose(handed[1][0].mean, expected)
    assert handed[1][0].count == 30
    assert later[site.key][0] is handed[1][0]


def test_without_smoothing_every_frame_is_as_a_picture_by_itself(stylizer, film, style, tmp_path):
    run(stylizer, film, style, tmp_path / "frames", steady=0)
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in files] == [f"{n:06d}.png" for n in range(1, FRAMES + 1)]
    for frame, file in zip(Film.of(film).frames(), files, strict=True):
        alone = stylizer.transfer(frame.image, style, levels=[2, 1])
        assert np.array_equal(np.asarray(alone), np.asarray(Pillow.open(file)))


def test_what_stands_still_keeps_its_look_while_something_beside_it_changes(stylizer, style, tmp_path):
    frames = tmp_path / "in"
    frames.mkdir()
    for number in range(8):
        array = waves(0)
        array[:, 56:] = 200 if number % 2 else 90
        Pillow.fromarray(array).save(frames / f"{number}.png")
    changes = {}
    for steady in (0.0, 1.0):
        output = tmp_path / f"steady{steady:.0f}"
        assert run(stylizer, frames, style, output, steady=steady).cuts == ()
        still = [np.asarray(Pillow.open(file)).astype(int)[:, :32] for file in sorted(output.iterdir())][3:]
        changes[steady] = np.mean([np.abs(after - before).mean() for before, after in pairwise(still)])
    assert changes[1.0] < 0.5 * changes[0.0]


def test_a_cut_is_found_and_forgets_what_was_before(stylizer, style, tmp_path):
    dark = [np.stack([waves(n)[..., 2], waves(n)[..., 1] // 3, waves(n)[..., 0]], axis=-1) for n in range(6)]
    clip = make_film(tmp_path / "cut.mkv", [waves(n) for n in range(6)] + dark, sound=False)
    report = run(stylizer, clip, style, tmp_path / "cut", steady=1.0)
    assert report.cuts == (7,)
    frame = next(frame for frame in Film.of(clip).frames() if frame.number == 7)
    alone = stylizer.transfer(frame.image, style, levels=[2, 1])
    assert np.array_equal(np.asarray(alone), np.asarray(Pillow.open(tmp_path / "cut" / "000007.png")))


def test_motion_and_fades_are_no_cuts():
    scene = Scene.first(Image.of(waves(0)))
    for number in range(1, 20):
        faded = (waves(9 * number) * (1 - number / 25)).astype(np.uint8)
        scene, is_cut = scene.followed_by(Image.of(faded))
        assert not is_cut


# what is kept of a clip


def test_sound_and_times_are_kept(stylizer, style, tmp_path):
    clip = make_film(tmp_path / "uneven.mp4", [waves(n) for n in range(FRAMES)], at=UNEVEN)
    report = run(stylizer, clip, style, tmp_path / "out.mp4")
    assert (report.frames, report.transfer.size) == (FRAMES, (48, 64))
    assert [time for time, _ in decoded(tmp_path / "out.mp4")] == [at * BASE for at in UNEVEN]
    assert packets(tmp_path / "out.mp4", "audio") == packets(clip, "audio")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.mp4", "uneven.mp4"]


def test_subtitles_are_kept_where_the_file_can_hold_them(stylizer, film, style, tmp_path):
    clip = tmp_path / "titled.mkv"
    with av.open(str(film)) as source, av.open(str(clip), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        titles = out.add_mux_stream("subrip")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        title = av.Packet(b"A cat.")
        title.stream, title.time_base = titles, Fraction(1, 1000)
        title.pts, title.dts, title.duration = 0, 0, 400
        out.mux(title)
    assert run(stylizer, clip, style, tmp_path / "out.mkv").notes == []
    assert packets(tmp_path / "out.mkv", "subtitle") == [b"A cat."]
    notes = run(stylizer, clip, style, tmp_path / "out.mp4").notes
    assert notes == ["subtitles (subrip) left out: out.mp4 cannot hold it"]


def test_segments_join_without_a_seam(stylizer, film, style, tmp_path, monkeypatch):
    run(stylizer, film, style, tmp_path / "one.mkv", codec="ffv1")
    monkeypatch.setattr("universal_style.video.run.SEGMENT_FRAMES", 5)
    monkeypatch.setattr(unfinished, "SEGMENT_FRAMES", 5)
    run(stylizer, film, style, tmp_path / "three.mkv", codec="ffv1")
    one, three = decoded(tmp_path / "one.mkv"), decoded(tmp_path / "three.mkv")
    assert len(one) == FRAMES
    assert all(a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(one, three, strict=True))


@pytest.mark.parametrize("colours", [(1, 1), (1, 2), (6, 1), (2, 0)], ids=str)
def test_colours_come_back_through_every_coding(tmp_path, colours):
    clip = make_film(tmp_path / "in.mkv", [waves(n) for n in range(2)], pixels="yuv444p", colours=colours, sound=False)
    first = next(iter(Film.of(clip).frames()))
    assert np.abs(first.image.pixels * 255 - waves(0)).mean() < 2
    target, source = target_named(tmp_path / "out.mkv", "ffv1"), Film.of(clip)
    with target.segment(source, (48, 64), tmp_path / "0") as write:
        for frame in source.frames():
            write(frame)
    target.join(source, (48, 64), [tmp_path / "0"])
    for (_, ours), (_, given) in zip(decoded(tmp_path / "out.mkv"), decoded(clip), strict=True):
        assert np.abs(ours.astype(int) - given).mean() < 1
    with av.open(str(tmp_path / "out.mkv")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == colours


def test_odd_sizes_come_of_even_ones(stylizer, style, tmp_path):
    clip = make_film(tmp_path / "even.mkv", [waves(n, 48, 64) for n in range(2)], sound=False)
    run(stylizer, clip, style, tmp_path / "odd.mp4", size=35)
    with av.open(str(tmp_path / "odd.mp4")) as film:
        assert film.streams.video[0].pix_fmt == "yuv444p"
    assert decoded(tmp_path / "odd.mp4")[0][1].shape == (26, 35, 3)


def test_odd_sizes_stay(stylizer, style, tmp_path):
    clip = make_film(tmp_path / "odd.mkv", [waves(n, 47, 63) for n in range(3)], pixels="yuv444p", sound=False)
    report = run(stylizer, clip, style, tmp_path / "odd.mp4")
    assert report.stored["pixel_format"] == "yuv444p"
    assert decoded(tmp_path / "odd.mp4")[0][1].shape == (47, 63, 3)


def test_a_film_that_lies_on_its_side_is_put_upright(stylizer, film, style, tmp_path):
    data = bytearray(film.read_bytes())
    upright, turned = ([1, 0, 0, 0, 1, 0], [0, 1, 0, -1, 0, 0])  # the rows of the track's matrix, a quarter clockwise

    def coded(rows):
        ones = [value << 16 for value in rows]
        return b"".join(v.to_bytes(4, "big", signed=True) for v in (*ones[:3], *ones[3:6], 0, 0, 1 << 30))

    place = data.index(coded(upright), data.index(b"tkhd"))
    data[place : place + 36] = coded(turned)
    side = tmp_path / "side.mp4"
    side.write_bytes(data)
    first = next(iter(Film.of(side).frames())).image
    straight = next(iter(Film.of(film).frames())).image
    assert np.array_equal(first.pixels, np.rot90(straight.pixels, -1))
    run(stylizer, side, style, tmp_path / "up.mp4")
    with av.open(str(tmp_path / "up.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width, frame.rotation) == (64, 48, 0)


def test_ten_bits_stay_ten_bits(stylizer, style, tmp_path):
    clip = make_film(tmp_path / "deep.mkv", [waves(n) for n in range(2)], pixels="yuv420p10le", sound=False)
    assert next(iter(Film.of(clip).frames())).image.bits == 16
    assert run(stylizer, clip, style, tmp_path / "out.mp4").stored["pixel_format"] == "yuv420p10le"


def test_gifs_in_and_out(stylizer, film, style, tmp_path):
    report = run(stylizer, film, style, tmp_path / "out.gif")
    assert report.notes == ["sound (aac) left out: out.gif cannot hold it"]
    run(stylizer, film, style, tmp_path / "frames")
    with Pillow.open(tmp_path / "out.gif") as gif:
        assert gif.n_frames == FRAMES
        assert gif.info["duration"] == 40
        seen = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(seen - np.asarray(Pillow.open(tmp_path / "frames" / "000001.png"))).mean() < 12
    run(stylizer, tmp_path / "out.gif", style, tmp_path / "again.mp4")
    assert [time for time, _ in decoded(tmp_path / "again.mp4")] == [Fraction(n, 25) for n in range(FRAMES)]


def test_a_folder_of_frames_has_the_rate_that_is_asked_for(stylizer, style, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (9, 10, 100):
        Pillow.fromarray(waves(number)).save(folder / f"shot2_{number}.png")
    assert [file.name for file in clip_named(folder).files] == ["shot2_9.png", "shot2_10.png", "shot2_100.png"]
    run(stylizer, folder, style, tmp_path / "out.mp4", rate=10)
    assert [time for time, _ in decoded(tmp_path / "out.mp4")] == [Fraction(n, 10) for n in range(3)]


# going on after an interruption


def test_a_killed_run_goes_on_and_ends_as_if_never_interrupted(stylizer, film, style, tmp_path, monkeypatch):
    script = """
import sys
from pathlib import Path
import universal_style.video.run as run, universal_style.video.unfinished as unfinished
run.SEGMENT_FRAMES = unfinished.SEGMENT_FRAMES = 3
from universal_style.stylizer import Stylizer
from universal_style.video.sources import clip_named
from universal_style.video.targets import target_named
def told(done, total, rate):
    if done == 8:
        print("eight", flush=True)
        sys.stdin.read()
clip, style, output = map(Path, sys.argv[1:])
stylizer = Stylizer(device="cpu", dtype="float32")
run.restyle(stylizer, clip_named(clip), [style], target_named(output), told=told, levels=[2, 1], steady=1.0)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    command = [sys.executable, "-c", script, str(film), str(style), str(tmp_path / "killed.mp4")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "eight\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert [file.name for file in tmp_path.iterdir()] == [".killed.mp4.unfinished"]
    monkeypatch.setattr("universal_style.video.run.SEGMENT_FRAMES", 3)
    monkeypatch.setattr(unfinished, "SEGMENT_FRAMES", 3)
    assert run(stylizer, film, style, tmp_path / "killed.mp4").resumed == 6
    assert run(stylizer, film, style, tmp_path / "whole.mp4").resumed == 0
    assert (tmp_path / "killed.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["killed.mp4", "whole.mp4"]


def test_two_runs_of_one_output_do_not_mix(stylizer, film, style, tmp_path):
    output, said = tmp_path / "out.mp4", []

    def again(done, total, rate):
        if done == 2:
            with pytest.raises(
                OutputError, match=r"another run writes .*out.mp4; let it end, or choose another"
            ) as told:
                run(stylizer, film, style, output, steady=2.0)
            said.append(told.value)

    report = restyle(stylizer, clip_named(film), [style], target_named(output), told=again, levels=[1])
    assert (len(said), report.frames, report.resumed) == (1, FRAMES, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_another_order_begins_anew(stylizer, film, style, tmp_path, monkeypatch):
    monkeypatch.setattr("universal_style.video.run.SEGMENT_FRAMES", 5)
    monkeypatch.setattr(unfinished, "SEGMENT_FRAMES", 5)

    def stop(done, total, rate):
        assert total == FRAMES
        if done == 7:
            raise KeyboardInterrupt

    def order(**options):
        return restyle(stylizer, clip_named(film), [style], target_named(tmp_path / "out.mp4"), levels=[1], **options)

    with pytest.raises(KeyboardInterrupt):
        order(told=stop)
    with pytest.raises(KeyboardInterrupt):
        order(told=stop, steady=2.0)
    assert order(steady=2.0).resumed == 5
    with pytest.raises(KeyboardInterrupt):
        order(told=stop)
    assert order(alpha=0.5).resumed == 0


# what cannot be done


def cut_short(film, path):
    with av.open(str(film)) as source, av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])


def overwritten(film, path):
    data = bytearray(film.read_bytes())
    middle = (data.index(b"mdat") + data.index(b"moov")) // 2
    data[middle : middle + 900] = np.random.default_rng(1).integers(0, 256, 900, dtype=np.uint8).tobytes()
    path.write_bytes(data)


def sound_alone(film, path):
    with av.open(str(film)) as source, av.open(str(path), "w") as out:
        audio = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                out.mux(packet)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut_short, "is damaged at frame"),
        (overwritten, "is damaged at frame"),
        (sound_alone, "has no video stream .it has audio."),
        (lambda film, path: path.write_text("no film" * 99), "is not a film that can be read"),
        (lambda film, path: path.touch(), "is empty"),
        (lambda film, path: None, "does not exist"),
    ],
    ids=["cut", "overwritten", "sound", "text", "empty", "missing"],
)
def test_a_clip_that_cannot_be_used(stylizer, style, tmp_path, spoil, said):
    long = make_film(tmp_path / "long.mp4", [waves(n) for n in range(60)])
    spoil(long, tmp_path / "bad.mp4")
    with pytest.raises(InputError, match=said) as caught:
        run(stylizer, tmp_path / "bad.mp4", style, tmp_path / "out.mp4", levels=[1])
    assert "\n" not in str(caught.value)
    assert not [file for file in tmp_path.iterdir() if "out" in file.name]


def test_pictures_that_are_no_frames(stylizer, style, tmp_path):
    with pytest.raises(InputError, match="is one picture; give it to transfer"):
        run(stylizer, style, style, tmp_path / "out.mp4")
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        run(stylizer, folder, style, tmp_path / "out.mp4")
    Pillow.fromarray(waves(0)).save(folder / "a.png")
    with pytest.raises(InputError, match="no number in its name"):
        run(stylizer, folder, style, tmp_path / "out.mp4")
    (folder / "a.png").rename(folder / "1.png")
    Pillow.fromarray(waves(0, 32, 32)).save(folder / "2.png")
    with pytest.raises(InputError, match="2.png has 32×32 pixels, the frames before it 64×48"):
        run(stylizer, folder, style, tmp_path / "out.mp4")


def test_outputs_that_cannot_be(stylizer, film, style, tmp_path):
    for name, codec, quality, said in [
        ("out.xyz", None, None, "has the suffix '.xyz'"),
        ("out.mp4", "ffv1", None, "holds no ffv1"),
        ("out.mp4", "divx", None, "codec 'divx' is unknown"),
        ("out.mp4", None, 99, "quality 99 is out of range"),
        ("out.mkv", "ffv1", 3, "has no quality"),
        ("out.gif", None, 3, "are for films"),
    ]:
        with pytest.raises(OptionError, match=said):
            target_named(tmp_path / name, codec, quality)
    with pytest.raises(OutputError, match="cannot hold the aac sound"):
        run(stylizer, film, style, tmp_path / "out.webm")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="is not empty"):
        run(stylizer, film, style, tmp_path / "full")
    with pytest.raises(OutputError, match="does not exist"):
        run(stylizer, film, style, tmp_path / "no" / "out.mp4")


def test_options_that_videos_have_not(stylizer, film, style, tmp_path):
    for options, said in [
        ({"auto_regions": 3}, "regions are not followed"),
        ({"steady": -1.0}, "steady -1 is out of range"),
        ({"rate": 5}, "rate is for folders"),
    ]:
        with pytest.raises(OptionError, match=said):
            run(stylizer, film, style, tmp_path / "out.mp4", **options)


# the command line


def test_the_command(command_line, film, style, tmp_path):
    report = tmp_path / "report.json"
    code, output = command_line(
        "video", film, style, "-o", tmp_path / "out.mp4", "--levels", "1", "--json", report, "--size", "32"
    )
    assert code == 0
    assert "12 frames" in output.err
    facts = json.loads(report.read_text())
    assert (facts["frames"], facts["cuts"], facts["transfer"]["size"]) == (12, [], [24, 32])
    assert (facts["stored"]["codec"], facts["stored"]["pixel_format"]) == ("h264", "yuv420p")


def test_optimisers_are_refused_in_one_line(command_line, film, style, tmp_path):
    code, output = command_line("video", film, style, "-o", tmp_path / "out.mp4", "-m", "gatys")
    assert code == 2
    assert output.err.count("\n") == 1
    assert "method gatys descends anew for every frame" in output.err
