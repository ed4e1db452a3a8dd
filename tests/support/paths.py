"""Paths: the checkout, its assets, and the shared trial data next to the checkout, if any."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
SHARED = ROOT.parent / "shared" / "data" / "squad"
