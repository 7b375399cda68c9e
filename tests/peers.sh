#!/bin/sh
# What the tests run beside Python: npm's hypercore as the other side of a feed, a browser for the Nest, and axe-core,
# which knows what makes a page hard to use.
# Installs what is missing where that is possible, and says which tests are skipped where it is not.
set -u
here=$(cd "$(dirname "$0")" && pwd)

install_packages() {
    command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"
} >/dev/null 2>&1

command -v npm >/dev/null 2>&1 || install_packages nodejs npm ||
    echo "No npm here: the tests beside npm's hypercore are skipped. Install Node.js and npm to run them."
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || install_packages chromium ||
    echo "No Chromium here: the tests of the Nest in a browser are skipped. Install chromium to run them."
if command -v npm >/dev/null 2>&1; then
    npm ci --prefix "$here/interop" --no-audit --no-fund --loglevel=error ||
        echo "npm could not install its packages: the tests beside npm's hypercore are skipped."
    npm ci --prefix "$here/nest" --no-audit --no-fund --loglevel=error ||
        echo "npm could not install axe-core: the accessibility test of the Nest is skipped."
fi
