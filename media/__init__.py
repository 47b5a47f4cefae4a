"""Uploaded images: their size, later thumbnails. The only package that imports Pillow."""
