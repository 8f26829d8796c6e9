"""The parts of the section "Vocabulary"."""
