"""``python -m hloc_localizer``: the command line."""

import sys

from hloc_localizer.cli import main

sys.exit(main())
