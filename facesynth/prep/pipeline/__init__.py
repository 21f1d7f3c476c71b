"""The engine of the preparation stages: parallel, resumable work on photos, journals, the manifest and the report."""
