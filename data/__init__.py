"""Data sets, found by --dataset_mode, and the loader."""
