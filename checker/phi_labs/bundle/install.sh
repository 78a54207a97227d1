#!/bin/sh
# Installs phi-labs from the wheels beside this file, without internet:  sh install.sh DIR
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
target=${1:?"usage: sh install.sh DIR"}
python3 -m venv "$target"
"$target/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-index \
    --find-links "$here/wheels" "phi-labs[postgresql]"
echo "installed: $target/bin/phi-labs"
echo "next:      $target/bin/phi-labs bundle load FILE"
