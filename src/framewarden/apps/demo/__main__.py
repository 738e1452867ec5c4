"""``python -m framewarden.apps.demo``; all that is said here is what is missing."""

import sys

try:
    from framewarden.apps.demo.show import main
except ModuleNotFoundError as error:
    if error.name != "websockets":
        raise
    sys.exit("framewarden demo: websockets, its honest client, is missing: python -m pip install websockets")

sys.exit(main())
