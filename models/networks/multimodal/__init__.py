"""Networks that take an image apart into content and style, and put one together from both."""
