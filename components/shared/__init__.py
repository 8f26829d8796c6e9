"""Code that components share: errors, faults, files, TFRecords, reading, metrics."""
