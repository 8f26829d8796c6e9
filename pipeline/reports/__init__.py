"""Reports about runs: status, lineage, OpenMetrics, the summary of a run, and why a model was refused."""
