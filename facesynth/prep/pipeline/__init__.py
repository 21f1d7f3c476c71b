"""What every preparation stage runs on: parallel, resumable work over ids, its journal, the manifest and the report."""
