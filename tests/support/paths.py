"""Where things lie: the checkout, its assets, and the shared trial data next to the checkout where there are some."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
SHARED = ROOT.parent / "shared" / "data" / "squad"
