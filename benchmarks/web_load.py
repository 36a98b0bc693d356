"""How the web page's server bears many clients at once: time and memory of 50 with small pictures.

python benchmarks/web_load.py --clients 50 -o web-load.json
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gradio_client import Client, handle_file
from PIL import Image as Pillow

from universal_style.atomic import replacing
from universal_style.demo import PICTURES

CONTENT, STYLE = PICTURES / "chelsea-cat.jpg", PICTURES / "hashiguchi-ducks.jpg"


def resident(pid: int) -> int:
    """Give the memory that a process holds, in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) * 1024 if found else 0


def one(address: str, content: Path, style: Path, method: str) -> float:
    """Ask for a picture as a new client; give the seconds that it took."""
    started = time.perf_counter()
    client = Client(address, verbose=False, analytics_enabled=False, download_files=False)
    client.predict(content=handle_file(content), styles=[handle_file(style)], method=method, api_name="/transfer")
    client.close()
    return time.perf_counter() - started


def measure(clients: int, side: int, method: str, rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = []
        for source in (CONTENT, STYLE):
            with Pillow.open(source) as picture:
                picture.thumbnail((side, side))
                pictures.append(folder / f"{source.stem}.png")
                picture.save(pictures[-1])
        server = subprocess.Popen(
            [sys.executable, "-m", "universal_style", "serve", "--port", "0", "--queue", str(clients)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            address = server.stderr.readline().split()[0]
            one(address, *pictures, method)
            alone = resident(server.pid)
            highest, done = [alone], threading.Event()

            def watch() -> None:
                while not done.wait(0.1):
                    highest.append(resident(server.pid))

            watcher = threading.Thread(target=watch)
            watcher.start()
            seconds, ends, started = [], [], time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                for _ in range(rounds):
                    seconds += list(pool.map(lambda _: one(address, *pictures, method), range(clients)))
                    ends.append(resident(server.pid))
            whole = time.perf_counter() - started
            done.set()
            watcher.join()
        finally:
            server.terminate()
            server.wait()
            server.stderr.close()
    return {
        "clients": clients,
        "rounds": rounds,
        "long_side": side,
        "method": method,
        "seconds": round(whole, 1),
        "pictures_per_second": round(clients * rounds / whole, 2),
        "median_wait": round(statistics.median(seconds), 1),
        "longest_wait": round(max(seconds), 1),
        "megabytes_after_one": round(alone / 2**20),
        "megabytes_at_most": round(max(highest) / 2**20),
        "megabytes_after_each_round": [round(end / 2**20) for end in ends],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2, help="times that all clients come")
    parser.add_argument("--side", type=int, default=64, help="long side of content and style in pixels")
    parser.add_argument("--method", default="wct")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    figures = measure(options.clients, options.side, options.method, options.rounds)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.output:
        with replacing(options.output) as temporary:
            temporary.write_text(text + "\n")


if __name__ == "__main__":
    main()
