"""The report of a map: one page that shows what it holds and where a robot would fail."""

from hloc_localizer.mapping.map_report.content import ReportContent
from hloc_localizer.mapping.map_report.page import report_page
from hloc_localizer.mapping.map_report.self_localization import Trial, localize_held_out
from hloc_localizer.mapping.map_report.write import REPORT_NAME, write_report

__all__ = [
    'REPORT_NAME',
    'ReportContent',
    'Trial',
    'localize_held_out',
    'report_page',
    'write_report',
]
