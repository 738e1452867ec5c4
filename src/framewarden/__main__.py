"""``python -m framewarden``."""

import sys

from framewarden.apps.cli import main

sys.exit(main())
