"""Stop commands at random moments by SIGINT, SIGTERM and SIGKILL, and see what they leave.

    python benchmarks/faults.py --runs 200 --json faults.json

Each run starts transfer, batch, video or train on small pictures, sends a signal at a random moment, looks at the
folder, and gives the same command once more. It fails if

- a file stands under its final name and is another than that of a run that was left alone;
- SIGINT or SIGTERM leave a temporary file, say more than one line, or exit with another code than 130 or 143;
- the second command fails, ends in another result, or a temporary file is there after it;
- a result of a batch that was finished is gone or was made again.

Processes are forked from this one, where all is imported already, so that signals meet the work and not the start of
Python. Those that come before the command line has begun may end the process as they end any other.
Exits with 1 if a run fails.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from universal_style import cli
from universal_style.demo import PICTURES
from universal_style.training.feed_forward import train_feed_forward
from universal_style.video.run import restyle

LOADED = train_feed_forward, restyle  # imported here for the processes that are forked
torch.set_num_threads(1)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
COMMANDS = {
    "transfer": "transfer c/0.png s.png -o out.png --json report.json --levels 2,1",
    "batch": "batch c s.png -o out --levels 2,1 -q",
    "video": "video clip.mp4 s.png -o out.mp4 --levels 1",
    "train": "train feed-forward s.png --photos c -o net.safetensors --steps 12 --batch 1 --side 64 "
    "--measure-every 2 --workers 0 --style-size 64",
}
RESULTS = {"transfer": ["out.png"], "batch": ["out"], "video": ["out.mp4"], "train": ["net.safetensors", "net.state"]}


def prepare(folder):
    """Make the inputs."""
    (folder / "c").mkdir(parents=True)
    with Pillow.open(PICTURES / "chelsea-cat.jpg") as picture:
        cat = picture.convert("RGB").resize((80, 60))
    for number in range(8):
        cat.rotate(10 * number).save(folder / "c" / f"{number}.png")
    with Pillow.open(PICTURES / "hashiguchi-ducks.jpg") as picture:
        picture.convert("RGB").resize((64, 64)).save(folder / "s.png")
    with av.open(folder / "clip.mp4", "w") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(130):
            frame = np.asarray(cat.resize((64, 48)).rotate(number))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())


class Started:
    """A command in a process of its own."""

    def __init__(self, command, folder):
        self.said = folder.parent / "said"
        self.number = os.fork()
        if not self.number:
            _become([*COMMANDS[command].split(), "--device", "cpu", "--dtype", "float32"], folder, self.said)

    def wait(self):
        """Give the exit code, negative for a signal, and what was said."""
        _, status = os.waitpid(self.number, 0)
        return os.waitstatus_to_exitcode(status), self.said.read_text()


def _become(arguments, folder, said):
    code = 70
    try:
        os.chdir(folder)
        descriptor = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.argv = ["universal-style", *arguments]
        cli.main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:  # before the command line has begun
        code = 71
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        sys.stderr.flush()
        os._exit(code)


def results(command, folder):
    """Give what stands under final names: bytes, or what is in them where they hold a date or times."""
    found = {}
    for name in RESULTS[command]:
        path = folder / name
        for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
            if file.name == "lock" or file.name.endswith(".partial"):
                continue
            key = str(file.relative_to(folder))
            if file.suffix == ".state":
                state = torch.load(file, weights_only=True)
                found[key] = state["step"], list(state["curve"])
            elif file.suffix == ".safetensors":
                found[key] = {name: value.tolist() for name, value in load_file(file).items()}
            elif ".universal-style" not in key:
                found[key] = file.read_bytes()
            else:
                json.loads(file.read_text())
    return found


def temporary(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.partial"))


def odd(command, found, whole):
    """Name the files that are not what they would have been."""
    names = []
    for key, value in found.items():
        if key.endswith(".state"):
            step, curve = value
            sound = curve == whole[key][1][: len(curve)] and step == curve[-1]["step"]
        else:
            sound = value == whole.get(key)
        if not sound:
            names.append(key)
    return names


def one(command, number, delay, ground, whole, work):
    """Do one run, and say what was wrong with it."""
    folder = work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ground, folder)
    wrong = []
    process = Started(command, folder)
    time.sleep(delay)
    os.kill(process.number, number)
    code, said = process.wait()
    lines = [line for line in said.splitlines() if line.strip() and " step " not in line]  # of progress
    early = number != signal.SIGKILL and code in (-number, 71)
    if number != signal.SIGKILL and not early and code != 0:
        if code != 128 + number or len(lines) != 1 or not lines[0].startswith("universal-style: "):
            wrong.append(f"ended with {code} and {lines[-3:]}")
        if temporary(folder):
            wrong.append(f"left {temporary(folder)}")
    try:
        found = results(command, folder)
        wrong += [f"{name} is not whole" for name in odd(command, found, whole)]
    except Exception as error:
        wrong.append(f"a result cannot be read: {error}")
        found = {}
    times = {name: (folder / name).stat().st_mtime_ns for name in found}
    records = {p.name.removesuffix(".json") for p in (folder / "out" / ".universal-style").rglob("*.json")}
    code_again, said_again = Started(command, folder).wait()
    if code_again != 0:
        wrong.append(f"the second ended with {code_again}: {said_again.strip()[-300:]}")
    elif results(command, folder) != whole:
        wrong.append("the second ended in another result")
    if temporary(folder) or (folder / ".out.mp4.unfinished").exists():
        wrong.append(f"left after the second: {temporary(folder)}")
    if command == "batch":
        again_made = [n for n in times if Path(n).name in records and (folder / n).stat().st_mtime_ns != times[n]]
        wrong += [f"{name} was made again" for name in again_made]
    ended = "finished before" if code == 0 else "before it began" if early else "stopped"
    return ended, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--command", choices=COMMANDS, action="append", help="one or more; all when left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write what was seen here")
    given = parser.parse_args()
    chance, begun = random.Random(given.seed), time.monotonic()
    chosen = given.command or list(COMMANDS)
    seen, failures = {}, []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        ground = work / "ground"
        prepare(ground)
        whole, seconds = {}, {}
        for command in chosen:
            folder = work / f"whole-{command}"
            shutil.copytree(ground, folder)
            before = time.monotonic()
            code, said = Started(command, folder).wait()
            assert code == 0, said
            whole[command], seconds[command] = results(command, folder), time.monotonic() - before
        for run in range(given.runs):
            command, number = chosen[run % len(chosen)], SIGNALS[run // len(chosen) % len(SIGNALS)]
            delay = chance.uniform(0.0, 1.05) * seconds[command]
            ended, wrong = one(command, number, delay, ground, whole[command], work)
            key = f"{command} {number.name}"
            counts = seen.setdefault(key, {"runs": 0, "stopped": 0, "before it began": 0, "finished before": 0})
            counts["runs"] += 1
            counts[ended] += 1
            if given.json:
                given.json.write_text(json.dumps({"runs": seen, "failures": failures}, indent=2) + "\n")
            for what in wrong:
                failures.append({"run": run, "of": key, "delay": round(delay, 3), "what": what})
                print(f"run {run} {key} after {delay:.2f} s: {what}", flush=True)
    for key, counts in sorted(seen.items()):
        print(f"{key:18} " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    print(f"{given.runs} runs in {time.monotonic() - begun:.0f} s, {len(failures)} failures")
    if given.json:
        given.json.write_text(json.dumps({"runs": seen, "failures": failures}, indent=2) + "\n")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
