"""The files of a split, as a configuration names them."""

from __future__ import annotations

import msgspec

from bitext.components.shared.path_types import PathPattern


class Files(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of one split, or of the whole corpus.

    Attributes:
      files: paths or globs of TSV or CSV files (formats `tsv` and `csv`).
      source_files: paths or globs of text files with one source sentence a line (format `parallel`).
      target_files: paths or globs of the files with their translations, line by line. The n-th file belongs
        to the n-th of `source_files`.
    """

    files: tuple[PathPattern, ...] = ()
    source_files: tuple[PathPattern, ...] = ()
    target_files: tuple[PathPattern, ...] = ()

    def patterns(self) -> tuple[str, ...]:
        """All paths and globs, in order."""
        return self.files + self.source_files + self.target_files
