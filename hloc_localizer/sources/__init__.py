"""Where frames come from: bags, videos, folders of images."""

from hloc_localizer.sources.frame import Frame, Source
from hloc_localizer.sources.open_source import open_source, open_sources
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.rig import Rig

__all__ = ['Frame', 'Rig', 'Source', 'SourceOptions', 'open_source', 'open_sources']
