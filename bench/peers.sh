#!/bin/sh
# What the measurements run beside Crow: PouchDB with its server, and Autobase, as their makers publish them.
set -u
here=$(cd "$(dirname "$0")" && pwd)
command -v npm >/dev/null 2>&1 && npm ci --prefix "$here/peers" --no-audit --no-fund --loglevel=error ||
    echo "npm could not install PouchDB and Autobase: their lines are left out."
