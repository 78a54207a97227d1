"""What leaves a workshop: gradebooks, reports and records, made from a cohort and nothing else."""

from phi_labs.workshop.exports.export import FORMATS, export_cohort, export_files

__all__ = ["FORMATS", "export_cohort", "export_files"]
