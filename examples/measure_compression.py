"""How small can these photos be saved before the classifier changes its mind? Needs no labels.

python examples/measure_compression.py examples/photos
"""

import sys

import afdcli

for row in afdcli.evaluate(sys.argv[1], levels="jpeg:80,40,20,10", order="compress-first"):
    print(f"{row['codec']} {row['quality'] or ''}: {row['bytes_per_pixel']} bytes a pixel, {row['agreement']} % agree")
