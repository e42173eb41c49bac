"""The dashboard's first paint with ten thousand databases on three nodes, beside Flower's, in the same browser.

    python -m bench.dashboard [--databases 10000] [--times 5]

Everything is real: gunicorn, Redis with what sweeps, looks at links and counts leave, Flower on the same Redis,
Chromium without a cache. Each page is opened in turn. What counts is the browser's own word: first-contentful-paint
(https://www.w3.org/TR/paint-timing/), and the bytes that came over the wire for the page and all that it loads.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from bench.api import answers
from bench.databases import NODES, fill
from bench.rig import private_redis, processes, require, system
from embedded.chromium import MISSING, find_chromium
from embedded.ports import any_free, is_free
from tasks.redis import connect

PAINT, BYTES = 1.0, 200_000  # targets: seconds, bytes
PAGES = ("/", "/databases", "/databases?sort=lag", "/jobs")
READ = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  return [paint ? paint.startTime / 1000 : null, loaded.reduce((sum, one) => sum + one.transferSize, 0)];
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit(f"bench: {MISSING}")
    api, flower = any_free(), any_free()
    with private_redis() as redis:
        fill(connect(redis.url), [f"database-{number:06}" for number in range(asked.databases)])
        environ = {
            "REDIS_URL": redis.url,
            "API_PORT": str(api),
            "API_RATE_PER_MINUTE": "0",
            "FLOWER_PORT": str(flower),
            "LOG_LEVEL": "error",
            "COUCHDB_URL": f"{NODES[0]}=http://127.0.0.1:5984",
            "REPLICATION_NODES": ",".join(f"{name}=http://127.0.0.1:{at}" for at, name in enumerate(NODES[1:], 5985)),
        }
        with processes(system(["api", "flower"]), environ), sync_playwright() as playwright:
            require(lambda: answers(api), "an answer of the API")
            require(lambda: not is_free(flower), "an answer of Flower", 60)
            browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu"])
            urls = {path: f"http://127.0.0.1:{api}{path}" for path in PAGES}
            found = opened(browser, {**urls, "Flower": f"http://127.0.0.1:{flower}/"}, asked.times)
            browser.close()
    return told(found)


def opened(browser: Browser, urls: dict[str, str], times: int) -> dict[str, list[tuple[float, int]]]:
    """(seconds to the first paint, bytes) of each, in turn, each in a browser that was never there."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in urls}
    for _ in range(times):
        for name, url in urls.items():
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto(url, wait_until="load")
            page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
            paint, size = page.evaluate(READ)
            found[name].append((paint, size))
            context.close()
    return found


def told(found: dict[str, list[tuple[float, int]]]) -> int:
    peer = median(paint for paint, _ in found["Flower"])
    met = True
    for name, rounds in found.items():
        paint, size = median(paint for paint, _ in rounds), max(size for _, size in rounds)
        words = f"{name:<22} first paint {paint * 1000:6.0f} ms   {size / 1000:6.1f} KB"
        if name != "Flower":
            well = paint <= PAINT and size <= BYTES
            met &= well
            words += f"   ours / Flower = {paint / peer:.2f}   target {PAINT:g} s, {BYTES / 1000:g} KB "
            words += "met" if well else "missed"
        print(words, flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
