"""``make bench``: preprocess, the routing decision, then the demo in real time (about 12 minutes for five runs)."""

import subprocess
import sys


def main() -> None:
    """Runs the benchmarks one after the other; arguments go to the demo."""
    subprocess.run([sys.executable, "-m", "benchmarks.preprocess"], check=True)
    subprocess.run([sys.executable, "-m", "benchmarks.routing"], check=True)
    subprocess.run([sys.executable, "-m", "benchmarks.records"], check=True)
    subprocess.run([sys.executable, "-m", "benchmarks.demo", *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
