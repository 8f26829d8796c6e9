"""Translating text with an exported SavedModel: lines, files, and large files through Beam."""
