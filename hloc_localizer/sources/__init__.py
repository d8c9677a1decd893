"""Where frames come from: bags, videos, folders of images."""

from hloc_localizer.sources.frame import Frame, Source
from hloc_localizer.sources.open_source import open_source
from hloc_localizer.sources.options import SourceOptions

__all__ = ['Frame', 'Source', 'SourceOptions', 'open_source']
