#!/bin/sh
# Installs Debian's Chromium and its driver, for the tests of the page. Does nothing if both are there.
set -eu
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "No apt-get here: install Chromium and ChromeDriver by hand, or let those tests be skipped." >&2
  exit 1
fi
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
echo "Installing chromium and chromium-driver"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get -qq -o Acquire::Retries=3 update
$as_root apt-get -qq -o Acquire::Retries=3 install -y --no-install-recommends \
  chromium chromium-driver fonts-dejavu-core >/dev/null
