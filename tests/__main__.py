"""`python -m tests`: every check, one after the other, stopping at the first that fails. Arguments go to pytest."""

import subprocess
import sys
from pathlib import Path

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)


def main() -> int:
    """Runs the checks; the exit status of the first that failed, or 0."""
    bin_dir = Path(sys.executable).parent
    for tool, *arguments in CHECKS:
        print(f"--- {tool} {' '.join(arguments)}", flush=True)
        if status := subprocess.run([bin_dir / tool, *arguments], check=False).returncode:
            return status
    print("--- pytest", flush=True)
    # three processes share the files: the tests wait more than they compute; tests/conftest.py puts the longest files first
    pytest = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
    return subprocess.run([*pytest, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
