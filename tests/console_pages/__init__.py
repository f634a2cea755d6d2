"""The console's pages in a real browser: each page, each write, at three widths, in light and dark."""
