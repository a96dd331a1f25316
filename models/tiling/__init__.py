"""Large images: translated part by part, so that memory does not grow with them."""

from models.tiling.tiling import STATISTICS, Tiling

__all__ = ["STATISTICS", "Tiling"]
