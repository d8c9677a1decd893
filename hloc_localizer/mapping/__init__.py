"""From a source to a map."""

from hloc_localizer.mapping.build import build_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.report import BuildReport

__all__ = ['BuildOptions', 'BuildReport', 'build_map']
