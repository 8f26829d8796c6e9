"""What several components share: errors, files, TFRecords, reading."""
