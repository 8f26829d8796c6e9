"""`bitext init`: looks at files with sentence pairs, and writes a configuration that reads them."""
